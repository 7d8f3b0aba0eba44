"""Pictures made for tests: seeded noise, in any size, mode and file format."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import cv2
import numpy as np
from PIL import Image

ORIENTATION_TAG = 0x0112


def noise(width: int, height: int, channels: int = 3, dtype: Any = np.uint8) -> Any:
    """Random pixels [height, width, channels], the same every time."""
    values = np.random.default_rng(width * 10_007 + height)
    return values.integers(0, np.iinfo(dtype).max, (height, width, channels), dtype=dtype, endpoint=True)


def picture(width: int = 97, height: int = 61, mode: str = "RGB") -> Image.Image:
    """Noise as a Pillow image of any mode."""
    return Image.fromarray(noise(width, height)).convert(mode)


def saying(text: object) -> bytes:
    """A file, a picture of one pixel, that says something in its comment."""
    return b"P6\n# %s\n1 1\n255\n\0\0\0" % str(text).encode()


def encode(image: Image.Image, file_format: str = "PNG", **options: Any) -> bytes:
    """The image as a file's bytes."""
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def oriented(orientation: int) -> bytes:
    """A JPEG with that EXIF orientation, 1 to 8."""
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    return encode(picture(), "JPEG", exif=exif)


def sixteen_bit(extension: str = ".png", channels: int = 3) -> bytes:
    """A picture with 16 bits a channel."""
    done, content = cv2.imencode(extension, noise(97, 61, channels, np.uint16))
    assert done
    return content.tobytes()


def png_declaring(width: int, height: int) -> bytes:
    """A PNG file of under a hundred bytes whose header declares that many pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def lying_jpeg2000() -> bytes:
    """A JPEG 2000 file whose container declares other sizes than its codestream."""
    done, content = cv2.imencode(".jp2", noise(64, 64))
    assert done
    before, mark, after = content.tobytes().partition(b"ihdr")
    return before + mark + struct.pack(">II", 10, 10) + after[8:]
