"""What callers may give as an image, and what becomes of it before it is sent."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, Union

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from tritonclas.preprocess import BadImage, Pixels, Preprocessing


class BinaryFile(Protocol):
    """An open binary file."""

    def read(self) -> bytes:
        """All bytes from the current position on."""


#: A path, encoded bytes, a binary file, a PIL.Image, or RGB pixels as uint8 [height, width, 3].
ImageSource = Union[str, "os.PathLike[str]", bytes, bytearray, memoryview, BinaryFile, Image.Image, "NDArray[np.uint8]"]

#: Pillow modes that a PNG keeps as they are, so that the server sees what a file of theirs would hold.
_PNG_MODES = {"1", "L", "LA", "P", "RGB", "RGBA", "I;16"}


def describe(source: ImageSource, position: int = 0) -> str:
    """How messages name an image: its path, or its place in the caller's sequence."""
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source)
    return str(getattr(source, "name", "") or f"image {position}")


def encoded(source: ImageSource) -> bytes:
    """The image as a file's bytes; BadImage if it can't be had. Pixels are encoded without loss, as PNG."""
    content = _read(source)
    return _png_of(content) if isinstance(content, np.ndarray) else content


def crop(source: ImageSource, preprocessing: Preprocessing) -> Pixels:
    """The image as the network's crop, uint8 [crop, crop, 3]; BadImage if it can't be had."""
    content = _read(source)
    return preprocessing.crop_pixels(content) if isinstance(content, np.ndarray) else preprocessing(content)


def _read(source: ImageSource) -> bytes | Pixels:
    if isinstance(source, (str, os.PathLike)):
        return _content(Path(source).read_bytes)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return bytes(source)
    if isinstance(source, np.ndarray):
        return _checked(source)
    if isinstance(source, Image.Image):
        return _png_of_pillow(source)
    if hasattr(source, "read"):
        return _content(source.read)
    raise BadImage(
        f"a {type(source).__module__}.{type(source).__qualname__} isn't an image; give a path, encoded bytes, "
        "a binary file, a PIL.Image or a uint8 array [height, width, 3]"
    )


def _content(read: Callable[[], object]) -> bytes:
    try:
        content = read()
    except FileNotFoundError:
        raise BadImage("no such file") from None
    except IsADirectoryError:
        raise BadImage("it is a folder, not a picture") from None
    except (OSError, ValueError) as error:  # ValueError: a closed file, a path with a NUL
        raise BadImage(f"can't be read ({error})") from error
    if not isinstance(content, bytes):
        raise BadImage("the file is open in text mode; open it with mode 'rb'")
    return content


def _checked(array: NDArray[np.uint8]) -> Pixels:
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or not array.size:
        raise BadImage(
            f"the array is {array.dtype} {list(array.shape)}; it must be uint8 [height, width, 3], RGB in 0..255"
        )
    return array


def _png_of(rgb: Pixels) -> bytes:
    done, content = cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        raise BadImage("the pixels can't be encoded as PNG")
    return content.tobytes()


def _png_of_pillow(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    try:
        _savable(ImageOps.exif_transpose(image)).save(buffer, "PNG", compress_level=1)
    except (OSError, ValueError, SyntaxError, SystemError, struct.error) as error:
        # Closed, cut short, or empty, which Pillow says with a SystemError before 12.2.
        raise BadImage(f"the PIL.Image can't be read ({error})") from error
    return buffer.getvalue()


def _savable(image: Image.Image) -> Image.Image:
    """The image in a mode that PNG has: 16-bit greyscale stays so, which OpenCV scales to 8 bits."""
    if image.mode in _PNG_MODES:
        return image
    if image.mode == "I":
        return image.convert("I;16")
    if image.mode == "F":
        raise BadImage("a PIL.Image of mode F has no range of values that means black to white; convert it to L or RGB")
    return image.convert("RGB")
