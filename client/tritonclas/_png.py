"""Animated PNGs made plain ones: OpenCV crashes on damaged ones.

Its reader jumps out of a function that has returned when the first frame can't be decompressed (opencv issue 27744),
which ends the process. Without the chunks of the animation the plain reader sees the file, and gives the same first
picture.
"""

from __future__ import annotations

import struct
from typing import Final

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"

#: APNG's chunks: of the animation, of a frame, and with a frame's pixels.
_ANIMATION: Final = (b"acTL", b"fcTL", b"fdAT")


def without_animation(encoded: bytes) -> bytes:
    """The file without an animation's chunks; the same object if it isn't a PNG that has one."""
    if not encoded.startswith(_SIGNATURE) or not any(name in encoded for name in _ANIMATION):
        return encoded
    kept, at = [_SIGNATURE], len(_SIGNATURE)
    while at + 8 <= len(encoded):
        length, name = struct.unpack_from(">I4s", encoded, at)
        end = at + 12 + length
        if name not in _ANIMATION:
            kept.append(encoded[at:end])
        at = end
    return b"".join(kept)
