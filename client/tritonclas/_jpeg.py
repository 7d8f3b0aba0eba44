"""JPEGs decoded by libjpeg-turbo itself: OpenCV's pixels to the last bit, in half the time.

OpenCV turns libjpeg's RGB into BGR on the way, and we would turn it back: for large photographs that, and its own
row-by-row copying, take longer than decoding. What isn't a plain, undamaged JPEG is left to OpenCV.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from typing import Any, Final

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

_START_OF_IMAGE: Final = b"\xff\xd8"
_APP1: Final = 0xE1
_START_OF_SCAN: Final = 0xDA
_FILL: Final = 0xFF
_FRAMES: Final = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
_PROGRESSIVE: Final = {0xC2, 0xC6, 0xCA, 0xCE}
#: What ends compressed pixels: a marker that isn't a restart, nor a stuffed byte (B.1.1.5).
_MARKER: Final = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
#: Progressive files have a dozen scans. A hundred bytes make one more that takes as long as the whole picture.
MOST_SCANS: Final = 100
_STANDALONE: Final = {0x01, *range(0xD0, 0xDA)}  # markers without a length (ITU-T T.81, table B.1)

#: Others (CMYK, YCCK) become RGB in a way of OpenCV's own.
_COLOURS: Final = {"YCbCr", "Gray", "RGB"}

#: By which libjpeg-turbo decodes faster the smaller; by those between it is slower than without.
_FAST_SCALES: Final = (8, 4, 2)

_ORIENTATION: Final = 0x0112
_SHORT: Final = 3
_EXIF: Final = b"Exif\0\0"
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


def _is_exif(segment: bytes) -> bool:
    """Whether OpenCV might take it for EXIF: it doesn't look at the name."""
    return segment.startswith(_EXIF) or segment[6:8] in (b"II", b"MM")


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


def scans(encoded: bytes) -> int:
    """How often the decoder must go through the whole picture: 1, or the number of a progressive file's scans.

    Counting ends above `MOST_SCANS`; a file that can't be made sense of has one, as far as is known.
    """
    if not encoded.startswith(_START_OF_IMAGE):
        return 1
    try:
        return _counted_scans(encoded)
    except (IndexError, struct.error):
        return 1


def _counted_scans(encoded: bytes) -> int:
    count, components, progressive, at = 0, 0, False, 2
    while count <= MOST_SCANS:
        while encoded[at + 1] == _FILL:
            at += 1
        kind = encoded[at + 1]
        if encoded[at] != _FILL or kind in _STANDALONE:
            break
        if kind in _FRAMES:
            components, progressive = encoded[at + 9], kind in _PROGRESSIVE
        (length,) = struct.unpack_from(">H", encoded, at + 2)
        if kind == _START_OF_SCAN:
            count += 1
            if not progressive and encoded[at + 4] == components:
                break  # all of the picture in one scan
            following = _MARKER.search(encoded, at + 2 + length)
            if following is None:
                break
            at = following.start()
        else:
            at += 2 + length
    return max(count, 1)


def decode(encoded: bytes, smallest: tuple[int, int] | None = None) -> NDArray[np.uint8] | None:
    """RGB pixels, uint8 `[height, width, 3]`, turned as the EXIF orientation says; None if OpenCV must decode it.

    They are all of the picture's, unless a `smallest` width and height (before turning) allow for fewer.
    """
    if not encoded.startswith(_START_OF_IMAGE):
        return None
    try:
        height, width, colour, *_ = simplejpeg.decode_jpeg_header(encoded)
        if colour not in _COLOURS:
            return None
        turned = _TURNED[_orientation(_app1(encoded))]
        factor = min(width // smallest[0], height // smallest[1]) if smallest else 1
        scale = next((each for each in _FAST_SCALES if each <= factor), 1)
        size = {"min_width": -(-width // scale), "min_height": -(-height // scale)} if scale > 1 else {}
        return turned(simplejpeg.decode_jpeg(encoded, "RGB", **size))  # type: ignore[no-any-return]
    except (_Unusual, KeyError, struct.error, ValueError):  # ValueError: damaged
        return None


def _app1(encoded: bytes) -> list[bytes]:
    """The contents of the APP1 segments, which have EXIF, XMP and others' data."""
    found: list[bytes] = []
    at = 2
    while True:
        (mark, kind), at = encoded[at : at + 2], at + 2
        if mark != _FILL or kind == _FILL or kind in _STANDALONE:
            raise _Unusual
        if kind == _START_OF_SCAN:
            return found
        (length,) = struct.unpack_from(">H", encoded, at)
        if kind == _APP1:
            found.append(encoded[at + 2 : at + length])
        at += length


def _orientation(segments: Sequence[bytes]) -> int:
    """EXIF's orientation, 1 if there is none; _Unusual unless every entry up to it is sound.

    Where EXIF isn't in the first segment, OpenCV 4.11 doesn't look for it, and 4.14 does.
    """
    if not any(_is_exif(segment) for segment in segments):
        return 1
    tiff = segments[0][6:]
    if not segments[0].startswith(_EXIF):
        raise _Unusual
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
