"""PaddleClas's preprocessing, bit for bit: decode, scale the short side, centre crop.

The steps and their rounding are those of PaddleClas's `DecodeImage`, `ResizeImage` and `CropImage`
(ppcls/data/preprocess/ops/operators.py) with OpenCV. Normalisation isn't here: it is part of the network.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from tritonclas import _jpeg
from tritonclas._png import without_animation
from tritonclas.served import Interpolation

Pixels = NDArray[np.uint8]

#: Pictures of more pixels are refused before they are decoded: 64 megapixels are 192 MB of RGB.
MAX_PIXELS = 64_000_000

#: Pillow's own limit against decompression bombs, which it can't be told to raise for one picture.
LARGEST_MAX_PIXELS = 178_956_970

#: Pixels that a tile of a TIFF may have whatever the size of the picture.
_LARGEST_TILE = 4_000_000
_TILE_WIDTH, _TILE_LENGTH = 322, 323  # TIFF 6.0, section 15

#: Pillow's names of the formats that OpenCV's wheels decode. Pillow reads the header, OpenCV the pixels.
#: JPEG 2000 isn't among them: OpenCV 4.11 crashes on files whose two headers disagree.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM", "SUN")

_SCALED = "scaled_decoding"
_REQUIRED = {"resize_short", "crop", "interpolation"}
_OPTIONAL = {"max_pixels", _SCALED}
#: Scaled decoding leaves this many times the pixels a side that scaling needs, for the interpolation to choose from.
_MARGIN = 2
_REJECTION = re.compile(r"image (\d+) rejected: (.*?)(?=; image \d+ rejected: |$)")

_CV2_INTERPOLATION = {"cubic": cv2.INTER_CUBIC, "linear": cv2.INTER_LINEAR}


class BadImage(ValueError):
    """The bytes aren't a picture that can be preprocessed; the message says why."""


class UnknownFormat(BadImage):
    """The bytes aren't a picture in a format that OpenCV's wheels decode."""


@dataclass(frozen=True)
class Preprocessing:
    """What the network was trained with: sizes in pixels, and OpenCV's interpolation (not antialiased).

    With `scaled_decoding`, JPEGs much larger than `resize_short` are decoded at a half, a quarter or an eighth of their
    size, which takes half of the time for 12 megapixels; pixels are then no longer PaddleClas's.
    """

    resize_short: int
    crop: int
    interpolation: Interpolation
    max_pixels: int = MAX_PIXELS
    scaled_decoding: bool = False

    def __post_init__(self) -> None:
        if self.interpolation not in _CV2_INTERPOLATION:
            raise ValueError(f"interpolation is {self.interpolation!r}; it must be cubic or linear")
        if not 0 < self.max_pixels <= LARGEST_MAX_PIXELS:
            raise ValueError(f"max_pixels is {self.max_pixels}; it must be positive and at most {LARGEST_MAX_PIXELS}")
        if self.resize_short**2 > self.max_pixels:
            raise ValueError(
                f"resize_short is {self.resize_short}; its square must be at most max_pixels, {self.max_pixels}"
            )
        if not 0 < self.crop <= self.resize_short:
            raise ValueError(f"crop is {self.crop}; it must be positive and at most resize_short, {self.resize_short}")

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, str]) -> Preprocessing:
        """What the parameters of a preprocessing model's config.pbtxt say; ValueError if they don't make sense."""
        if missing := _REQUIRED - set(parameters):
            raise ValueError(f"the parameters lack {', '.join(sorted(missing))}")
        if unknown := set(parameters) - _REQUIRED - _OPTIONAL:
            raise ValueError(f"unknown parameters: {', '.join(sorted(unknown))}")
        if parameters.get(_SCALED, "0") not in ("0", "1"):
            raise ValueError(f"{_SCALED} is {parameters[_SCALED]!r}; it must be 0 or 1")
        values: dict[str, Any] = {
            key: value if key == "interpolation" else int(value) for key, value in parameters.items()
        }
        return cls(**values | {_SCALED: bool(values.get(_SCALED))})

    def __call__(self, encoded: bytes) -> Pixels:
        """RGB crop, uint8 `[crop, crop, 3]`, of an encoded picture; BadImage if it isn't one."""
        width, height = check_header(encoded, self.max_pixels)
        needed = self.resized_size(width, height)
        smallest = (_MARGIN * needed[0], _MARGIN * needed[1]) if self.scaled_decoding else None
        return self.crop_pixels(decode(encoded, smallest))

    def resized_size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height after scaling the short side; BadImage for a picture too elongated to be scaled."""
        scale = float(self.resize_short) / min(width, height)
        resized = round(width * scale), round(height * scale)
        if resized[0] * resized[1] > self.max_pixels:
            raise BadImage(
                f"{width}x{height} pixels would be scaled to {resized[0]}x{resized[1]}, "
                f"more than the limit of {self.max_pixels} pixels"
            )
        return resized

    def crop_pixels(self, rgb: Pixels) -> Pixels:
        """RGB crop, uint8 `[crop, crop, 3]`, of decoded pixels, uint8 `[height, width, 3]`."""
        height, width = rgb.shape[:2]
        size = self.resized_size(width, height)
        # OpenCV, too, leaves a picture of the right size as it is, but copies it.
        interpolation = _CV2_INTERPOLATION[self.interpolation]
        resized = rgb if size == (width, height) else cv2.resize(rgb, size, interpolation=interpolation)
        top = (resized.shape[0] - self.crop) // 2
        left = (resized.shape[1] - self.crop) // 2
        return np.ascontiguousarray(resized[top : top + self.crop, left : left + self.crop])


def check_header(encoded: bytes, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Width and height out of the header, nothing decoded; BadImage if it isn't a picture or is too large."""
    width, height = _jpeg.size(encoded) or _size(encoded, max_pixels)
    if not 0 < width * height <= max_pixels:
        raise BadImage(f"{width}x{height} pixels; from 1 to {max_pixels} pixels are accepted")
    return width, height


def _size(encoded: bytes, max_pixels: int) -> tuple[int, int]:
    """Width and height as Pillow reads them."""
    if not encoded:
        raise BadImage("the file is empty")
    try:
        with Image.open(io.BytesIO(encoded), formats=FORMATS) as image:
            _check_tiles(image)
            return image.width, image.height
    except UnidentifiedImageError:
        raise UnknownFormat(
            f"not a picture in one of the formats {', '.join(FORMATS)} (begins with {encoded[:8]!r})"
        ) from None
    except BadImage:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadImage(f"far above the limit of {max_pixels} pixels ({error})") from error
    except Exception as error:  # Pillow's readers raise almost anything on a damaged header
        raise BadImage(f"damaged header ({type(error).__name__}: {error})") from error


def _check_tiles(image: Image.Image) -> None:
    """BadImage for a TIFF whose tiles are far larger than its picture: whole ones are decoded."""
    tags = getattr(image, "tag_v2", {})
    tile = tags.get(_TILE_WIDTH, 0) * tags.get(_TILE_LENGTH, 0)
    if tile > max(_LARGEST_TILE, 4 * image.width * image.height):
        raise BadImage(f"tiles of {tile} pixels for a picture of {image.width}x{image.height}")


def decode(encoded: bytes, smallest: tuple[int, int] | None = None) -> Pixels:
    """RGB pixels, uint8 `[height, width, 3]`, turned as the EXIF orientation says; BadImage if OpenCV can't.

    A JPEG may be decoded smaller than it is, but not than the `smallest` width and height that are allowed.
    """
    if _jpeg.scans(encoded) > _jpeg.MOST_SCANS:
        raise BadImage(f"more than {_jpeg.MOST_SCANS} scans, which would take very long to decode")
    if (rgb := _jpeg.decode(encoded, smallest)) is not None:
        return rgb
    try:
        bgr = cv2.imdecode(np.frombuffer(without_animation(encoded), np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise BadImage(f"can't be decoded ({error})") from error
    if bgr is None:
        raise BadImage("can't be decoded: the file is damaged, cut short, or of a kind that OpenCV doesn't read")
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)  # type: ignore[return-value]


def describe_rejections(reasons: Mapping[int, str]) -> str:
    """The server's error message for a request: each rejected picture by its place in the batch, and why."""
    return "; ".join(f"image {index} rejected: {' '.join(reason.split())}" for index, reason in reasons.items())


def parse_rejections(message: str) -> dict[int, str]:
    """The reasons in an error message made by `describe_rejections`, by place in the batch; empty if it wasn't."""
    return {int(index): reason for index, reason in _REJECTION.findall(message)}
