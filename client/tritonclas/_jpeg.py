"""JPEGs decoded by libjpeg-turbo itself: OpenCV's pixels to the last bit, in half the time.

OpenCV turns libjpeg's RGB into BGR on the way, and we would turn it back: for large photographs that, and its own
row-by-row copying, take longer than decoding. What isn't a plain, undamaged JPEG is left to OpenCV.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

_START_OF_IMAGE: Final = b"\xff\xd8"
_APP1: Final = 0xE1
_START_OF_SCAN: Final = 0xDA
_STANDALONE: Final = {0x01, *range(0xD0, 0xDA)}  # markers without a length (ITU-T T.81, table B.1)

#: Others (CMYK, YCCK) become RGB in a way of OpenCV's own.
_COLOURS: Final = {"YCbCr", "Gray", "RGB"}

_ORIENTATION: Final = 0x0112
_SHORT: Final = 3
#: Bytes of a value of each type (Exif 2.32, 4.6.2).
_SIZES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 9: 4, 10: 8}

#: How OpenCV turns a picture for each orientation (its grfmt_base/loadsave.cpp, ApplyExifOrientation).
_TURNED: Final[dict[int, Callable[[Any], Any]]] = {
    1: lambda rgb: rgb,
    2: lambda rgb: cv2.flip(rgb, 1),
    3: lambda rgb: cv2.flip(rgb, -1),
    4: lambda rgb: cv2.flip(rgb, 0),
    5: cv2.transpose,
    6: lambda rgb: cv2.rotate(rgb, cv2.ROTATE_90_CLOCKWISE),
    7: lambda rgb: cv2.flip(cv2.transpose(rgb), -1),
    8: lambda rgb: cv2.rotate(rgb, cv2.ROTATE_90_COUNTERCLOCKWISE),
}


class _Unusual(Exception):
    """A file that OpenCV had better read."""


def size(encoded: bytes) -> tuple[int, int] | None:
    """Width and height out of the header, in a microsecond; None if it isn't a JPEG with a sound header."""
    if not encoded.startswith(_START_OF_IMAGE):
        return None
    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(encoded)
    except ValueError:
        return None
    return width, height


def decode(encoded: bytes) -> NDArray[np.uint8] | None:
    """RGB pixels, uint8 `[height, width, 3]`, turned as the EXIF orientation says; None if OpenCV must decode it."""
    if not encoded.startswith(_START_OF_IMAGE):
        return None
    try:
        if simplejpeg.decode_jpeg_header(encoded)[2] not in _COLOURS:
            return None
        turned = _TURNED[_orientation(_first_app1(encoded))]
        return turned(simplejpeg.decode_jpeg(encoded, "RGB"))  # type: ignore[no-any-return]
    except (_Unusual, KeyError, struct.error, ValueError):  # ValueError: damaged
        return None


def _first_app1(encoded: bytes) -> bytes:
    """The content of the first APP1 segment, the only one in which OpenCV looks for an orientation."""
    at = 2
    while True:
        (mark, kind), at = encoded[at : at + 2], at + 2
        if mark != 0xFF or kind in _STANDALONE:
            raise _Unusual
        if kind == _START_OF_SCAN:
            return b""
        (length,) = struct.unpack_from(">H", encoded, at)
        if kind == _APP1:
            return encoded[at + 2 : at + length]
        at += length


def _orientation(app1: bytes) -> int:
    """EXIF's orientation, 1 if there is none; _Unusual unless every entry up to it is sound."""
    tiff = app1[6:]
    if not app1.startswith(b"Exif\0\0"):
        if tiff[:2] in (b"II", b"MM"):  # OpenCV would read it nevertheless
            raise _Unusual
        return 1
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        raise _Unusual
    (first,) = struct.unpack_from(f"{order}I", tiff, 4)
    (count,) = struct.unpack_from(f"{order}H", tiff, first)
    for entry in range(count):
        tag, kind, values, place = struct.unpack_from(f"{order}HHII", tiff, first + 2 + 12 * entry)
        if tag == _ORIENTATION:
            if (kind, values) != (_SHORT, 1):
                raise _Unusual
            return int(struct.unpack_from(f"{order}H", tiff, first + 10 + 12 * entry)[0])
        size = _SIZES[kind] * values
        if size > 4 and place + size > len(tiff):
            raise _Unusual
    return 1
