"""Formats that OpenCV doesn't read, files of several pictures, and advice to those who give what isn't one."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.pictures import encode, noise, picture
from tritonclas import _converted, images
from tritonclas._refusals import refusal, refusal_of_array
from tritonclas.preprocess import BadImage, Preprocessing, UnknownFormat, decode

pillow_heif = pytest.importorskip("pillow_heif")

PREPROCESSING = Preprocessing(72, 64, "cubic")

Image.init()
needs_avif = pytest.mark.skipif("AVIF" not in Image.SAVE, reason="Pillow before 11.3, or without libavif")


def frames(*, mode: str = "RGB") -> list[Image.Image]:
    """Three different pictures of one size."""
    return [Image.fromarray(noise(97, 61 + number)).convert(mode).crop((0, 0, 97, 61)) for number in range(3)]


def several(file_format: str, **options: Any) -> bytes:
    first, *others = frames()
    return encode(first, file_format, save_all=True, append_images=others, **options)


def heif(**options: Any) -> bytes:
    pillow_heif.register_heif_opener()
    return encode(picture(), "HEIF", quality=-1, **options)


SEVERAL = {
    "GIF": several("GIF"),
    "PNG": several("PNG"),
    "WebP": several("WEBP", lossless=True),
    "TIFF": several("TIFF"),
}


@pytest.mark.parametrize("content", SEVERAL.values(), ids=SEVERAL)
def test_the_first_of_several_pictures_counts(content: bytes) -> None:
    first = Image.open(io.BytesIO(content))
    expected = np.asarray(first.convert("RGB"))
    np.testing.assert_array_equal(decode(images.encoded(content)), expected)
    np.testing.assert_array_equal(images.crop(content, PREPROCESSING), PREPROCESSING.crop_pixels(expected))


@pytest.mark.parametrize(
    "make", [pytest.param(lambda: encode(picture(), "AVIF"), marks=needs_avif), heif], ids=["AVIF", "HEIF"]
)
def test_other_formats_are_sent_as_png(make: Any) -> None:
    content = make()
    expected = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    np.testing.assert_array_equal(decode(images.encoded(content)), expected)
    np.testing.assert_array_equal(images.crop(content, PREPROCESSING), PREPROCESSING.crop_pixels(expected))


@needs_avif
@pytest.mark.parametrize("orientation", range(1, 9))
def test_they_are_turned_as_their_header_says(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    sent = decode(images.encoded(encode(picture(), "AVIF", exif=exif, quality=100)))
    assert sent.shape[:2] == ((61, 97) if orientation < 5 else (97, 61))


def test_transparency_is_dropped_as_opencv_drops_it() -> None:
    gif = encode(picture(mode="P"), "GIF", transparency=3)
    png = encode(Image.open(io.BytesIO(gif)))
    plain = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
    np.testing.assert_array_equal(decode(images.encoded(gif)), plain)


def test_heif_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    content = heif()
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.delitem(Image.OPEN, "HEIF")
    with pytest.raises(BadImage, match="HEIF can't be read here; pip install pillow-heif"):
        images.encoded(content)


def test_avif_without_support_says_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(Image.OPEN, "AVIF", raising=False)
    with pytest.raises(BadImage, match=r"AVIF can't be read here; it needs Pillow 11\.3"):
        images.encoded(b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf")


def test_a_large_picture_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_converted, "MAX_PIXELS", 97 * 61 - 1)
    monkeypatch.setattr(_converted, "png_of_image", lambda image: pytest.fail("decoded"))
    with pytest.raises(BadImage, match="97x61 pixels"):
        images.encoded(SEVERAL["GIF"])


def test_a_bomb_is_refused() -> None:
    bomb = bytearray(encode(picture(mode="P"), "GIF"))
    bomb[6:10] = b"\xff\xff\xff\xff"
    with pytest.raises(BadImage, match="far above the limit"):
        images.encoded(bytes(bomb))


@pytest.mark.parametrize("length", [3, 12, 40, 700])
@pytest.mark.parametrize("name", ["GIF", pytest.param("AVIF", marks=needs_avif), "HEIF"])
def test_a_file_that_is_cut_short_is_refused(name: str, length: int) -> None:
    whole = {"GIF": lambda: SEVERAL["GIF"], "AVIF": lambda: encode(picture(), "AVIF"), "HEIF": heif}[name]()
    with pytest.raises(BadImage):
        images.encoded(whole[:length])


@pytest.mark.parametrize("content", [b"%!PS-Adobe-3.0 EPSF-3.0\n", b"text", b"\0\0\0\x18ftypisom\0\0\0\0isom"])
def test_whatever_else_pillow_reads_is_not_tried(content: bytes) -> None:
    """Its EPS reader, for one, starts Ghostscript."""
    for way in (images.encoded, lambda file: images.crop(file, PREPROCESSING)):
        with pytest.raises(UnknownFormat, match="not a picture in one of the formats JPEG"):
            way(content)


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xd8\xff\xe0 damaged", b"\x89PNG\r\n\x1a\n damaged"], ids=["empty", "JPEG", "PNG"]
)
def test_a_damaged_header_is_refused_before_anything_is_sent(content: bytes) -> None:
    with pytest.raises(BadImage):
        images.encoded(content)


def foreign(home: str, shape: Any, dtype: str) -> Any:
    """What a tensor of another library looks like from outside."""
    return type("Tensor", (), {"__module__": home, "shape": shape, "dtype": dtype})()


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (foreign("torch", (3, 8, 9), "torch.float32"), [".cpu().numpy()", "transpose(1, 2, 0)", "* 255", "normalises"]),
        (foreign("torch", (8, 9, 3), "torch.uint8"), ["give tensor.cpu().numpy()"]),
        (foreign("paddle", [3, 8, 9], "paddle.float32"), ["tensor.numpy()", "transpose(1, 2, 0)", "* 255"]),
        (foreign("torch", (2, 3, 8, 9), "torch.float32"), ["it is a batch", "one by one"]),
        (foreign("jaxlib._jax", (8, 9, 3), "uint8"), ["numpy.asarray"]),
        (foreign("somewhere", (8, 9, 3), "uint8"), ["a somewhere.Tensor isn't an image; give a path"]),
    ],
)
def test_tensors_are_refused_with_the_way_to_make_them_images(source: Any, said: list[str]) -> None:
    with pytest.raises(BadImage) as caught:
        images.encoded(source)
    assert all(text in str(caught.value) for text in said), caught.value
    assert str(caught.value) == refusal(source)


@pytest.mark.parametrize(
    ("array", "made"),
    [
        (noise(9, 8) / 255, lambda a: (a * 255).round().astype("uint8")),
        (noise(9, 8).transpose(2, 0, 1), lambda a: a.transpose(1, 2, 0)),
        (noise(9, 8)[:, :, 0], lambda a: a[..., None].repeat(3, 2)),
        (noise(9, 8)[:, :, :1], lambda a: a.repeat(3, 2)),
        (noise(9, 8, 4), lambda a: a[..., :3]),
    ],
    ids=["float", "channels first", "grey", "one channel", "alpha"],
)
def test_the_advice_about_arrays_is_right(array: Any, made: Any) -> None:
    text = refusal_of_array(array.dtype, array.shape)
    assert text.startswith(f"the array is {array.dtype} {list(array.shape)}; it must be uint8 [height, width, 3]")
    images.encoded(made(array))
    assert len(text.partition("RGB in 0..255: ")[2]) > 10


class Broken(io.BytesIO):
    """A file whose reader raises what nobody expects, as those of archives and object stores do."""

    def read(self, *_: object) -> bytes:
        raise KeyError("bad CRC")


def test_whatever_a_file_raises_it_is_one_bad_image() -> None:
    with pytest.raises(BadImage, match="can't be read"):
        images.encoded(Broken())


class BytesPath:
    """A path-like object whose path is bytes."""

    def __init__(self, path: Path) -> None:
        self._path = os.fsencode(path)

    def __fspath__(self) -> bytes:
        return self._path


def test_paths_may_be_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encode(picture()))
    assert images.encoded(BytesPath(tmp_path / "a.png")) == encode(picture())  # type: ignore[arg-type]


@settings(max_examples=300)
@given(at=st.integers(16, 4000), value=st.integers(0, 255))
@pytest.mark.parametrize("name", ["GIF", pytest.param("AVIF", marks=needs_avif), "HEIF"])
def test_damaged_files_are_bad_images_and_nothing_else(name: str, at: int, value: int) -> None:
    content = bytearray(CONVERTIBLE[name]())
    content[at % len(content)] = value
    with contextlib.suppress(BadImage):
        images.encoded(bytes(content))


CONVERTIBLE = {
    "GIF": lambda: SEVERAL["GIF"],
    "AVIF": functools.cache(lambda: encode(picture(), "AVIF")),
    "HEIF": functools.cache(heif),
}


def test_conversion_does_not_hold_up_an_event_loop() -> None:
    assert images.is_sent_as_it_is(encode(picture(), "JPEG"))
    assert not any(images.is_sent_as_it_is(each) for each in (SEVERAL["GIF"], heif(), "path.jpg", io.BytesIO()))
