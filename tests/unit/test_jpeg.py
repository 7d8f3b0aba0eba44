"""The quick way to decode a JPEG gives OpenCV's pixels, or leaves the file to OpenCV."""

from __future__ import annotations

import io
import struct
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests import pictures
from tests.pictures import encode, picture
from tritonclas import _jpeg, preprocess

SUBSAMPLINGS = {"4:4:4": 0x111111, "4:2:2": 0x211111, "4:2:0": 0x221111, "4:4:0": 0x121111, "4:1:1": 0x411111}


def by_opencv(content: bytes) -> Any:
    bgr = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    return None if bgr is None else bgr[:, :, ::-1]


def photograph(size: tuple[int, int], **options: Any) -> bytes:
    """A JPEG of smooth noise: every frequency, but no extremes only."""
    rng = np.random.default_rng(size[0])
    pixels = cv2.GaussianBlur(rng.integers(0, 256, (size[1], size[0], 3), np.uint8), (3, 3), 0)
    return encode(Image.fromarray(pixels), "JPEG", **options)


def exif(entries: list[bytes], order: str = "<", head: bytes = b"Exif\0\0") -> bytes:
    """An APP1 segment with these entries of its first directory."""
    mark = {"<": b"II*\0", ">": b"MM\0*"}[order]
    body = head + mark + struct.pack(f"{order}IH", 8, len(entries)) + b"".join(entries) + bytes(4)
    return b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body


def entry(tag: int, kind: int, count: int, value: int, order: str = "<") -> bytes:
    return struct.pack(f"{order}HHI", tag, kind, count) + struct.pack(f"{order}HH", value, 0)


def with_segments(*segments: bytes) -> bytes:
    content = photograph((31, 22))
    return content[:2] + b"".join(segments) + content[2:]


@pytest.mark.parametrize("subsampling", SUBSAMPLINGS.values(), ids=SUBSAMPLINGS)
@pytest.mark.parametrize("size", [(1, 1), (8, 8), (17, 33), (97, 61), (500, 375)], ids=str)
def test_every_subsampling_and_size(subsampling: int, size: tuple[int, int]) -> None:
    pixels = by_opencv(photograph(size))
    for quality in (5, 75, 92, 100):
        options = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, subsampling, cv2.IMWRITE_JPEG_QUALITY, quality]
        content = cv2.imencode(".jpg", pixels, options)[1].tobytes()
        np.testing.assert_array_equal(_jpeg.decode(content), by_opencv(content))


PLAIN = {
    "greyscale": encode(picture(mode="L"), "JPEG"),
    "progressive": photograph((97, 61), progressive=True),
    "optimised": photograph((97, 61), optimize=True, quality=30),
    "restart markers": photograph((97, 61), restart_marker_blocks=2),
    "no JFIF header": with_segments()[:2] + with_segments()[20:],
    "colour profile": photograph((97, 61), icc_profile=bytes(70_000)),
    "comment": photograph((97, 61), comment=b"a picture"),
    "XMP": with_segments(b"\xff\xe1\0\x20http://ns.adobe.com/xap/1.0/\0x"),
    **{f"orientation {number}": pictures.oriented(number) for number in range(1, 9)},
    "orientation, big endian": with_segments(exif([entry(0x0112, 3, 1, 6, ">")], ">")),
    "EXIF without an orientation": with_segments(exif([entry(0x0128, 3, 1, 2)])),
    "XMP after EXIF": with_segments(exif([entry(0x0112, 3, 1, 6)]), b"\xff\xe1\0\x20http://ns.adobe.com/xap/1.0/\0x"),
}


@pytest.mark.parametrize("content", PLAIN.values(), ids=PLAIN)
def test_plain_files_are_decoded_here(content: bytes) -> None:
    np.testing.assert_array_equal(_jpeg.decode(content), by_opencv(content))


def ycck() -> bytes:
    """A JPEG of four components, the first three of them YCbCr, by the number in its Adobe segment."""
    before, mark, after = encode(picture(mode="CMYK"), "JPEG").partition(b"Adobe")
    return before + mark + after[:6] + b"\x02" + after[7:]


UNUSUAL = {
    "CMYK": encode(picture(mode="CMYK"), "JPEG"),
    "YCCK": ycck(),
    "PNG": encode(picture()),
    "cut short": photograph((97, 61))[:-900],
    "nothing after the mark": b"\xff\xd8",
    "text": b"\xff\xd8 a text",
    "XMP before EXIF": with_segments(b"\xff\xe1\0\x20http://ns.adobe.com/xap/1.0/\0x", exif([entry(0x0112, 3, 1, 6)])),
    "fill bytes": with_segments(b"\xff" + exif([entry(0x0112, 3, 1, 6)])),
    "two values": with_segments(exif([entry(0x0112, 3, 2, 6)])),
    "LONG orientation": with_segments(exif([entry(0x0112, 4, 1, 6)])),
    "orientation 0": with_segments(exif([entry(0x0112, 3, 1, 0)])),
    "orientation 9": with_segments(exif([entry(0x0112, 3, 1, 9)])),
    "make beyond the segment": with_segments(exif([entry(0x010F, 2, 60_000, 60_000), entry(0x0112, 3, 1, 6)])),
    "unknown type": with_segments(exif([entry(0x010F, 99, 1, 6), entry(0x0112, 3, 1, 6)])),
    "no TIFF header": with_segments(b"\xff\xe1\0\x0cExif\0\0abcd"),
    "another name": with_segments(exif([entry(0x0112, 3, 1, 6)], head=b"Exif\0x")),
}


@pytest.mark.parametrize("content", UNUSUAL.values(), ids=UNUSUAL)
def test_unusual_files_are_left_to_opencv(content: bytes) -> None:
    assert _jpeg.decode(content) is None


def test_what_opencv_makes_of_a_damaged_file_is_what_is_answered() -> None:
    content = bytearray(photograph((500, 375)))
    content[-5000:-4990] = b"\xff\xd7" * 5
    assert _jpeg.decode(bytes(content)) is None
    np.testing.assert_array_equal(preprocess.decode(bytes(content)), by_opencv(bytes(content)))


MUTATED = with_segments(exif([entry(0x010F, 2, 4, 65), entry(0x0112, 3, 1, 6), entry(0x0128, 3, 1, 2)]))


@settings(max_examples=1500)
@given(at=st.integers(2, 80), value=st.integers(0, 255), second=st.integers(2, 80), other=st.integers(0, 255))
def test_no_mutated_header_is_turned_otherwise_than_by_opencv(at: int, value: int, second: int, other: int) -> None:
    content = bytearray(MUTATED)
    content[at], content[second] = value, other
    ours = _jpeg.decode(bytes(content))
    if ours is not None:
        np.testing.assert_array_equal(ours, by_opencv(bytes(content)))


@settings(max_examples=300)
@given(at=st.integers(2, 1500), value=st.integers(0, 255))
def test_no_damaged_file_gets_other_pixels_than_by_opencv(at: int, value: int) -> None:
    content = bytearray(photograph((40, 30)))
    content[min(at, len(content) - 1)] = value
    ours = _jpeg.decode(bytes(content))
    if ours is not None:
        np.testing.assert_array_equal(ours, by_opencv(bytes(content)))


@pytest.mark.parametrize(
    ("size", "decoded"),
    [
        ((500, 375), (500, 375)),
        ((1022, 768), (1022, 768)),
        ((1363, 1023), (1363, 1023)),
        ((1366, 1025), (683, 513)),
        ((2001, 4001), (1001, 2001)),
        ((2001, 6001), (1001, 3001)),
        ((4000, 3000), (1000, 750)),
        ((8192, 4097), (1024, 513)),
    ],
    ids=str,
)
def test_scaled_decoding_halves_what_is_more_than_large_enough(size: tuple[int, int], decoded: tuple[int, int]) -> None:
    content, asked = photograph(size, quality=30), preprocess.Preprocessing(256, 224, "cubic", scaled_decoding=True)
    width, height = asked.resized_size(*size)
    height, width = preprocess.decode(content, (2 * width, 2 * height)).shape[:2]
    assert (width, height) == decoded
    exact = preprocess.Preprocessing(256, 224, "cubic")(content)
    if decoded == size:
        np.testing.assert_array_equal(asked(content), exact)
    else:
        assert asked(content).shape == (224, 224, 3)
        assert not np.array_equal(asked(content), exact)


def test_scaled_decoding_keeps_what_is_in_the_picture_where_it_is_and_turns_it() -> None:
    pixels = np.zeros((2400, 3200, 3), np.uint8)
    pixels[: 2400 // 2, :1600] = (250, 120, 10)
    for turn in (b"", exif([entry(0x0112, 3, 1, 6)])):
        content = encode(Image.fromarray(pixels), "JPEG")
        content = content[:2] + turn + content[2:]
        exact, scaled = (
            preprocess.Preprocessing(256, 224, "cubic", scaled_decoding=each)(content).astype(int)
            for each in (False, True)
        )
        assert np.abs(exact - scaled).mean() < 1


def test_pillow_sees_the_same_picture() -> None:
    content = photograph((97, 61))
    np.testing.assert_array_equal(_jpeg.decode(content), np.asarray(Image.open(io.BytesIO(content))))


def with_scans(count: int) -> bytes:
    """A progressive file whose last scan is there so many times more."""
    content = photograph((97, 61), progressive=True)
    last = content.rindex(b"\xff\xda")
    return content[:-2] + content[last:-2] * count + content[-2:]


@pytest.mark.parametrize(
    ("content", "scans"),
    [(photograph((97, 61)), 1), (encode(picture(mode="L"), "JPEG"), 1), (photograph((97, 61), progressive=True), 10)],
    ids=["baseline", "greyscale", "progressive"],
)
def test_scans_are_counted(content: bytes, scans: int) -> None:
    assert _jpeg.scans(content) == scans


def test_a_file_of_very_many_scans_is_refused_undecoded() -> None:
    """A hundred bytes make the decoder go through the whole picture once more."""
    np.testing.assert_array_equal(preprocess.decode(with_scans(80)), by_opencv(with_scans(80)))
    with pytest.raises(preprocess.BadImage, match="more than 100 scans"):
        preprocess.decode(with_scans(91))


def test_counting_ends() -> None:
    assert _jpeg.scans(with_scans(5000)) == _jpeg.MOST_SCANS + 1


@settings(max_examples=500)
@given(at=st.integers(2, 4000), value=st.integers(0, 255), end=st.integers(2, 5000))
def test_damaged_files_are_counted_too(at: int, value: int, end: int) -> None:
    content = bytearray(with_scans(2))[:end]
    content[at % len(content)] = value
    assert _jpeg.scans(bytes(content)) >= 1
