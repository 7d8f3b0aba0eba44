"""What callers may give as an image, and what becomes of it before it is sent."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Union

import cv2
import numpy as np
from PIL import Image, ImageOps

from tritonclas.preprocess import BadImage, Preprocessing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tritonclas.preprocess import Pixels


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
        return _read_file(Path(source))
    if isinstance(source, (bytes, bytearray, memoryview)):
        return bytes(source)
    if isinstance(source, np.ndarray):
        return _checked(source)
    if isinstance(source, Image.Image):
        return _png_of_pillow(source)
    if hasattr(source, "read"):
        return _checked_bytes(source.read())
    raise BadImage(
        f"a {type(source).__module__}.{type(source).__qualname__} isn't an image; give a path, encoded bytes, "
        "a binary file, a PIL.Image or a uint8 array [height, width, 3]"
    )


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise BadImage("no such file") from None
    except IsADirectoryError:
        raise BadImage("it is a folder, not a picture") from None
    except OSError as error:
        raise BadImage(f"can't be read ({error.strerror})") from error


def _checked_bytes(content: object) -> bytes:
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
    upright = ImageOps.exif_transpose(image)
    buffer = io.BytesIO()
    (upright if upright.mode in _PNG_MODES else upright.convert("RGB")).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
