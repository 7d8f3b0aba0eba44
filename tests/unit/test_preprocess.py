"""Preprocessing is PaddleClas's, bit for bit, and refuses what isn't a picture before it costs anything."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests import pictures
from tests.pictures import encode, picture, png_declaring
from tritonclas import preprocess
from tritonclas.preprocess import BadImage, Preprocessing, describe_rejections, parse_rejections

ZOO_SIZES = [(256, 224), (272, 240), (320, 320), (632, 600)]
INTERPOLATIONS = ["cubic", "linear"]

ODD_SIZES: dict[str, Callable[[int, int], tuple[int, int]]] = {
    "exact": lambda short, crop: (short, short),
    "one less than resize_short": lambda short, crop: (short - 1, short + 50),
    "one more than resize_short": lambda short, crop: (short + 50, short + 1),
    "one around crop": lambda short, crop: (crop - 1, crop + 1),
    "crop": lambda short, crop: (crop, crop),
    "landscape": lambda short, crop: (500, 375),
    "portrait": lambda short, crop: (375, 500),
    "odd": lambda short, crop: (333, 517),
    "smaller than the crop": lambda short, crop: (50, 31),
    "one pixel wide": lambda short, crop: (1, 9),
    "one pixel high": lambda short, crop: (9, 1),
    "one pixel": lambda short, crop: (1, 1),
}

FILES: dict[str, Callable[[], bytes]] = {
    "greyscale JPEG": lambda: encode(picture(mode="L"), "JPEG"),
    "progressive JPEG": lambda: encode(picture(), "JPEG", progressive=True),
    "CMYK JPEG": lambda: encode(picture(mode="CMYK"), "JPEG"),
    "greyscale PNG": lambda: encode(picture(mode="L")),
    "LA PNG": lambda: encode(picture(mode="LA")),
    "RGBA PNG": lambda: encode(picture(mode="RGBA")),
    "palette PNG": lambda: encode(picture(mode="P")),
    "palette PNG, transparent": lambda: encode(picture(mode="P"), transparency=0),
    "1-bit PNG": lambda: encode(picture(mode="1")),
    "16-bit PNG": pictures.sixteen_bit,
    "16-bit greyscale PNG": lambda: pictures.sixteen_bit(channels=1),
    "WebP": lambda: encode(picture(), "WEBP"),
    "lossless WebP": lambda: encode(picture(mode="RGBA"), "WEBP", lossless=True),
    "BMP": lambda: encode(picture(), "BMP"),
    "TIFF": lambda: encode(picture(), "TIFF"),
    "deflated TIFF": lambda: encode(picture(), "TIFF", compression="tiff_adobe_deflate"),
    "PPM": lambda: encode(picture(), "PPM"),
    "PGM": lambda: encode(picture(mode="L"), "PPM"),
    **{f"EXIF orientation {number}": lambda number=number: pictures.oriented(number) for number in range(1, 9)},
}


def reference(encoded: bytes, resize_short: int, crop: int, interpolation: str) -> Any:
    """PaddleClas's DecodeImage, ResizeImage and CropImage, written down a second time."""
    rgb = cv2.imdecode(np.frombuffer(encoded, np.uint8), 1)[:, :, ::-1]
    height, width = rgb.shape[:2]
    percent = float(resize_short) / min(width, height)
    size = int(round(width * percent)), int(round(height * percent))  # noqa: RUF046  as PaddleClas writes it
    method = {"cubic": cv2.INTER_CUBIC, "linear": cv2.INTER_LINEAR}[interpolation]
    resized = cv2.resize(rgb, size, interpolation=method)
    left, top = (size[0] - crop) // 2, (size[1] - crop) // 2
    return resized[top : top + crop, left : left + crop]


def assert_same_crop(encoded: bytes, resize_short: int, crop: int, interpolation: Any) -> None:
    pixels = Preprocessing(resize_short, crop, interpolation)(encoded)
    assert (pixels.shape, pixels.dtype, pixels.flags.c_contiguous) == ((crop, crop, 3), np.uint8, True)
    np.testing.assert_array_equal(pixels, reference(encoded, resize_short, crop, interpolation))


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize(("resize_short", "crop"), ZOO_SIZES)
@pytest.mark.parametrize("name", ["cat", "espresso", "rocket"])
def test_example_pictures(
    examples: dict[str, Path], name: str, resize_short: int, crop: int, interpolation: str
) -> None:
    assert_same_crop(examples[name].read_bytes(), resize_short, crop, interpolation)


def test_every_example_picture_is_tested(examples: dict[str, Path]) -> None:
    assert set(examples) == {"cat", "espresso", "rocket"}


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize(("resize_short", "crop"), ZOO_SIZES)
@pytest.mark.parametrize("size", ODD_SIZES.values(), ids=ODD_SIZES)
def test_odd_sizes(size: Callable[..., tuple[int, int]], resize_short: int, crop: int, interpolation: str) -> None:
    assert_same_crop(encode(picture(*size(resize_short, crop))), resize_short, crop, interpolation)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("make", FILES.values(), ids=FILES)
def test_kinds_of_files(make: Callable[[], bytes], interpolation: str) -> None:
    assert_same_crop(make(), 256, 224, interpolation)


def test_orientations_are_eight_different_pictures() -> None:
    crops = {Preprocessing(64, 60, "linear")(pictures.oriented(number)).tobytes() for number in range(1, 9)}
    assert len(crops) == 8


@given(
    width=st.integers(1, 5000), height=st.integers(1, 5000), resize_short=st.sampled_from([1, 31, 224, 256, 320, 632])
)
def test_resized_size(width: int, height: int, resize_short: int) -> None:
    preprocessing = Preprocessing(resize_short, 1, "cubic", max_pixels=10_000_000)
    percent = float(resize_short) / min(width, height)
    expected = tuple(map(round, (width * percent, height * percent)))
    if math.prod(expected) > preprocessing.max_pixels:
        with pytest.raises(BadImage, match=f"{width}x{height} pixels would be scaled to {expected[0]}x{expected[1]}"):
            preprocessing.resized_size(width, height)
    else:
        assert preprocessing.resized_size(width, height) == expected
        assert min(expected) == resize_short


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "empty"),
    "text": (lambda: b"Dear Sir or Madam,", "not a picture"),
    "one byte": (lambda: b"\xff", "not a picture"),
    "GIF": (lambda: encode(picture(mode="P"), "GIF"), "not a picture"),
    "JPEG without its pixels": (lambda: encode(picture(400, 300), "JPEG")[:3000], "can't be decoded"),
    "JPEG without its header's end": (lambda: encode(picture(400, 300), "JPEG")[:300], "damaged header"),
    "PNG cut short": (lambda: encode(picture())[:3000], "can't be decoded"),
    "PNG without pixels": (lambda: png_declaring(100, 100), "can't be decoded"),
    "PNG of width 0": (lambda: png_declaring(0, 100), "not a picture|pixels"),
    "BMP cut short in its header": (lambda: encode(picture(), "BMP")[:20], "damaged header|not a picture"),
}


@pytest.mark.parametrize(("make", "why"), REFUSED.values(), ids=REFUSED)
def test_refused(make: Callable[[], bytes], why: str) -> None:
    with pytest.raises(BadImage, match=why) as refusal:
        Preprocessing(256, 224, "cubic")(make())
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("width", "height"),
    [(60_000, 60_000), (8_001, 8_000), (12_000, 12_000), (60_000, 1), (1, 60_000), (64_000_000, 1), (2**31 - 1, 1)],
)
def test_too_large_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch, width: int, height: int) -> None:
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(BadImage, match="pixels"):
        Preprocessing(256, 224, "cubic")(png_declaring(width, height))


@pytest.mark.parametrize("max_pixels", [97 * 61, 97 * 61 - 1])
def test_max_pixels_is_inclusive(max_pixels: int) -> None:
    small = Preprocessing(8, 8, "linear", max_pixels=max_pixels)
    if max_pixels == 97 * 61:
        assert small(encode(picture(97, 61))).shape == (8, 8, 3)
    else:
        with pytest.raises(BadImage, match=f"97x61 pixels; from 1 to {max_pixels}"):
            small(encode(picture(97, 61)))


def test_a_lying_jpeg2000_does_not_end_the_process() -> None:
    """OpenCV 4.11 crashes on a JPEG 2000 file whose two headers disagree, and would take the server with it."""
    program = (
        "from tests import pictures; from tritonclas.preprocess import *\n"
        "try: Preprocessing(256, 224, 'cubic')(pictures.lying_jpeg2000())\n"
        "except BadImage: print('refused')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "refused\n")


def test_threads_leave_the_warning_filters_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two pictures whose headers are read at the same time: the second begins while the first is being read."""
    second_inside, first_done = threading.Event(), threading.Event()
    open_image = Image.open

    def interleaved(*arguments: Any, **options: Any) -> Any:
        if threading.current_thread().name == "first":
            second.start()
            assert second_inside.wait(10)
        else:
            second_inside.set()
            assert first_done.wait(10)
        return open_image(*arguments, **options)

    monkeypatch.setattr(preprocess.Image, "open", interleaved)
    first, second = (
        threading.Thread(target=preprocess.check_header, args=[encode(picture())], name=name)
        for name in ("first", "second")
    )
    with warnings.catch_warnings():
        before = list(warnings.filters)
        first.start()
        first.join(10)
        first_done.set()
        second.join(10)
        assert list(warnings.filters) == before


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ((256, 257, "cubic"), "crop is 257"),
        ((256, 0, "cubic"), "crop is 0"),
        ((256, -1, "cubic"), "crop is -1"),
        ((0, 0, "cubic"), "crop is 0"),
        ((256, 224, "bicubic"), "interpolation is 'bicubic'"),
        ((256, 224, ""), "interpolation is ''"),
        ((256, 224, "cubic", 0), "max_pixels is 0"),
        ((256, 224, "cubic", 10**9), "max_pixels is 1000000000"),
        ((10**6, 224, "cubic"), "resize_short is 1000000"),
    ],
    ids=str,
)
def test_absurd_parameters_are_refused(settings: tuple[Any, ...], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Preprocessing(*settings)


SIZES = {"resize_short": "256", "crop": "224", "interpolation": "cubic"}


def test_parameters_are_those_of_the_configuration() -> None:
    assert Preprocessing.from_parameters(SIZES) == Preprocessing(256, 224, "cubic")
    asked = Preprocessing.from_parameters(SIZES | {"max_pixels": "90000", "scaled_decoding": "1"})
    assert asked == Preprocessing(256, 224, "cubic", 90000, scaled_decoding=True)
    assert not Preprocessing.from_parameters(SIZES | {"scaled_decoding": "0"}).scaled_decoding
    with pytest.raises(ValueError, match="scaled_decoding is 'yes'; it must be 0 or 1"):
        Preprocessing.from_parameters(SIZES | {"scaled_decoding": "yes"})


@pytest.mark.parametrize("before", ["", "in ensemble 'EfficientNetB0', ", "EfficientNetB0 at localhost:8001: "])
@given(reasons=st.dictionaries(st.integers(0, 10_000), st.text()))
def test_rejections_are_read_as_they_were_written(before: str, reasons: dict[int, str]) -> None:
    on_one_line = {index: " ".join(reason.split()) for index, reason in reasons.items()}
    assert parse_rejections(before + describe_rejections(reasons)) == on_one_line


@pytest.mark.parametrize("message", ["", "unexpected shape for input 'image'", "image rejected: why", "image 1: bad"])
def test_other_messages_are_no_rejections(message: str) -> None:
    assert parse_rejections(message) == {}
