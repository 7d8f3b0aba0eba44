"""What callers may give as an image, and what becomes of it before it is sent."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, Union

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tritonclas._converted import FORMATS as CONVERTED
from tritonclas._converted import looks_convertible, png_of_file, png_of_image
from tritonclas._refusals import refusal, refusal_as_crop, refusal_of_array
from tritonclas.preprocess import (
    LARGEST_MAX_PIXELS,
    BadImage,
    Pixels,
    Preprocessing,
    UnknownFormat,
    check_header,
)


class BinaryFile(Protocol):
    """An open binary file."""

    def read(self) -> bytes:
        """All bytes from the current position on."""


#: A path, encoded bytes, a binary file, a PIL.Image, or RGB pixels as uint8 [height, width, 3].
ImageSource = Union[str, "os.PathLike[str]", bytes, bytearray, memoryview, BinaryFile, Image.Image, "NDArray[np.uint8]"]


def describe(source: ImageSource, position: int = 0) -> str:
    """How messages name an image: its path, or its place in the caller's sequence."""
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source)
    return str(getattr(source, "name", "") or f"image {position}")


def encoded(source: ImageSource) -> bytes:
    """The image as a file's bytes; BadImage if it can't be had, or if its header isn't a picture's.

    A file in a format that the server doesn't decode becomes a PNG, and so do pixels: nothing is lost.
    """
    content = _read(source)
    if isinstance(content, np.ndarray):
        return _png_of(content)
    try:
        check_header(content, LARGEST_MAX_PIXELS)  # how many pixels it decodes is the server's to say
    except UnknownFormat as unknown:
        return _converted(content, unknown)
    return content


def is_sent_as_it_is(source: ImageSource) -> bool:
    """Whether an image needs nothing but a look at its header: bytes in a format that the server decodes."""
    return isinstance(source, bytes) and not looks_convertible(source)


def crop(source: ImageSource, preprocessing: Preprocessing) -> Pixels:
    """The image as the network's crop, uint8 [crop, crop, 3]; BadImage if it can't be had."""
    content = _read(source)
    if isinstance(content, np.ndarray):
        return preprocessing.crop_pixels(content)
    try:
        return preprocessing(content)
    except UnknownFormat as unknown:
        return preprocessing(_converted(content, unknown))


def crop_as_it_is(source: ImageSource, side: int) -> Pixels:
    """A crop that the caller has made, uint8 [side, side, 3], copied only if it isn't contiguous; else BadImage."""
    if isinstance(source, np.ndarray) and source.dtype == np.uint8 and source.shape == (side, side, 3):
        return np.ascontiguousarray(source)
    raise BadImage(refusal_as_crop(source, side))


def is_taken_without_a_copy(source: ImageSource) -> bool:
    """Whether `crop_as_it_is` only looks at an image."""
    return not isinstance(source, np.ndarray) or source.flags.c_contiguous


def _converted(content: bytes, unknown: UnknownFormat) -> bytes:
    png = png_of_file(content)
    if png is None:
        raise UnknownFormat(f"{unknown}; {', '.join(CONVERTED)} are taken too")
    return png


def _read(source: ImageSource) -> bytes | Pixels:
    if isinstance(source, (str, os.PathLike)):
        return _content(Path(os.fsdecode(source)).read_bytes)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return bytes(source)
    if isinstance(source, np.ndarray):
        return _checked(source)
    if isinstance(source, Image.Image):
        return png_of_image(source)
    if hasattr(source, "read"):
        return _content(source.read)
    raise BadImage(refusal(source))


def _content(read: Callable[[], object]) -> bytes:
    try:
        content = read()
    except FileNotFoundError:
        raise BadImage("no such file") from None
    except IsADirectoryError:
        raise BadImage("it is a folder, not a picture") from None
    except Exception as error:  # whatever a caller's file raises, it is one bad image among others
        raise BadImage(f"can't be read ({error})") from error
    if not isinstance(content, bytes):
        raise BadImage("the file is open in text mode; open it with mode 'rb'")
    return content


def _checked(array: NDArray[np.uint8]) -> Pixels:
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or not array.size:
        raise BadImage(refusal_of_array(array.dtype, array.shape))
    return array


def _png_of(rgb: Pixels) -> bytes:
    done, content = cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        raise BadImage("the pixels can't be encoded as PNG")
    return content.tobytes()
