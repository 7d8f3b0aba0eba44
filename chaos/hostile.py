"""Files that somebody sends instead of a picture, or that are pictures of the strangest kinds; the same at each run."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from scripts.photographs import EXAMPLES

_NOT_PICTURES = {
    "empty": b"",
    "one byte": b"\xff",
    "text": b"This is no picture.\n" * 100,
    "HTML": b"<!doctype html><title>404</title><p>Not found",
    "JSON": b'{"image": "cat.jpg"}',
    "PDF": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<<>>\nendobj\n",
    "ELF": b"\x7fELF\x02\x01\x01" + bytes(200),
    "zip": b"PK\x03\x04" + bytes(200),
    "gzip": b"\x1f\x8b\x08\x00" + bytes(200),
    "video": b"\x00\x00\x00\x20ftypisom" + bytes(200),
    "zeros": bytes(5000),
    "only the beginning of a JPEG": b"\xff\xd8\xff",
    "only the beginning of a PNG": b"\x89PNG\r\n\x1a\n",
    "only the beginning of a WebP": b"RIFF\x24\x00\x00\x00WEBPVP8 ",
}


def hostile(count: int, seed: int = 0) -> list[tuple[str, bytes]]:
    """So many files, each with its kind: all that are made, then mutations of these."""
    chance = random.Random(seed)  # noqa: S311
    made = _made()
    files = list(made.items())[:count]
    sources = [each for each in files if 100 < len(each[1]) < 300_000]
    while len(files) < count:
        name, content = chance.choice(sources)
        mutation = chance.choice(list(_MUTATIONS))
        files.append((f"{name}, {mutation}", _MUTATIONS[mutation](content, chance)))
    return files


def _truncated(content: bytes, chance: random.Random) -> bytes:
    return content[: chance.randrange(len(content))]


def _flipped(content: bytes, chance: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.choice((1, 3, 30))):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _flipped_header(content: bytes, chance: random.Random) -> bytes:
    return _flipped(content[:64], chance) + content[64:]


def _cut_out(content: bytes, chance: random.Random) -> bytes:
    begin, end = sorted(chance.randrange(len(content)) for _ in range(2))
    return content[:begin] + content[end:]


def _repeated(content: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(content))
    return content[:at] + content[at : at + 4000] * chance.choice((2, 20)) + content[at:]


def _noisy(content: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(content))
    return content[:at] + chance.randbytes(min(200, len(content) - at)) + content[at + 200 :]


_MUTATIONS: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "cut short": _truncated,
    "bits flipped": _flipped,
    "bits of the header flipped": _flipped_header,
    "a piece missing": _cut_out,
    "a piece repeated": _repeated,
    "noise inside": _noisy,
}


@cache
def _made() -> dict[str, bytes]:
    with Image.open(EXAMPLES / "cat.jpg") as opened:
        cat = opened.convert("RGB").resize((320, 240))
    return {**_NOT_PICTURES, **dict(_pictures(cat)), **dict(_sizes(cat)), **dict(_bombs()), **dict(_metadata(cat))}


def _saved(image: Image.Image, format_name: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format_name, **options)
    return file.getvalue()


def _pictures(cat: Image.Image) -> Iterator[tuple[str, bytes]]:
    """Pictures, most of which are to be answered."""
    frames = [cat.rotate(angle) for angle in (90, 180, 270)]
    deep = np.asarray(cat.convert("L"), np.uint16) * 257
    yield "JPEG", _saved(cat, "JPEG")
    yield "progressive JPEG", _saved(cat, "JPEG", progressive=True)
    yield "grey JPEG", _saved(cat.convert("L"), "JPEG")
    yield "CMYK JPEG", _saved(cat.convert("CMYK"), "JPEG")
    yield "PNG", _saved(cat, "PNG")
    yield "PNG of 16 bits", _saved(Image.fromarray(deep), "PNG")
    yield "PNG of 1 bit", _saved(cat.convert("1"), "PNG")
    yield "PNG with alpha", _saved(cat.convert("RGBA"), "PNG")
    yield "grey PNG with alpha", _saved(cat.convert("LA"), "PNG")
    for bits in (1, 2, 4, 8):
        yield f"PNG with a palette of {bits} bits", _saved(cat.quantize(2**bits), "PNG", bits=bits)
    yield "PNG with a transparent palette", _saved(cat.quantize(200), "PNG", transparency=bytes(range(200)))
    yield "animated PNG", _saved(cat, "PNG", save_all=True, append_images=frames)
    yield "WebP", _saved(cat, "WEBP")
    yield "lossless WebP", _saved(cat, "WEBP", lossless=True)
    yield "animated WebP", _saved(cat, "WEBP", save_all=True, append_images=frames)
    yield "animated GIF", _saved(cat, "GIF", save_all=True, append_images=frames)
    yield "BMP", _saved(cat, "BMP")
    yield "BMP with a palette", _saved(cat.quantize(256), "BMP")
    yield "TIFF", _saved(cat, "TIFF")
    yield "TIFF, LZW", _saved(cat, "TIFF", compression="tiff_lzw")
    yield "TIFF of 16 bits", _saved(Image.fromarray(deep), "TIFF")
    yield "TIFF of floats", _saved(cat.convert("F"), "TIFF")
    yield "TIFF, CMYK", _saved(cat.convert("CMYK"), "TIFF")
    yield "TIFF of several pages", _saved(cat, "TIFF", save_all=True, append_images=frames)
    yield "PPM", _saved(cat, "PPM")
    yield "PPM with a long comment", b"P6\n#" + b"x" * 5000 + b"\n2 2\n255\n" + bytes(12)
    yield "JPEG 2000", _saved(cat, "JPEG2000")
    yield "ICO", _saved(cat, "ICO")


def _sizes(cat: Image.Image) -> Iterator[tuple[str, bytes]]:
    """Sizes that are extreme, and such as aren't true."""
    for name in ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM"):
        yield f"1x1 {name}", _saved(cat.resize((1, 1)), name)
    for size in ((1, 65500), (65500, 1), (3, 9000), (9000, 3)):
        yield f"{size[0]}x{size[1]} JPEG", _saved(cat.resize(size), "JPEG")
    jpeg, png, bmp = _saved(cat, "JPEG"), _saved(cat, "PNG"), _saved(cat, "BMP")
    start_of_frame = jpeg.index(b"\xff\xc0") + 5
    for width, height in ((0, 0), (320, 65535), (65535, 65535), (319, 240), (8, 8), (8000, 8000)):
        told = f"that says {width}x{height}"
        yield f"JPEG {told}", _with(jpeg, start_of_frame, struct.pack(">HH", height, width))
        yield f"PNG {told}", _png_with_header(png, width, height)
        yield f"BMP {told}", _with(bmp, 18, struct.pack("<ii", width, height))
    yield "BMP that says -320x-240", _with(bmp, 18, struct.pack("<ii", -320, -240))


def _bombs() -> Iterator[tuple[str, bytes]]:
    """Small files of many pixels."""
    yield "PNG of 400 megapixels", _plain_png(20_000, 20_000)
    yield "PNG of 64 megapixels, just allowed", _plain_png(8_000, 8_000)
    yield "PNG of 64 megapixels, just not allowed", _plain_png(8_000, 8_001)
    yield "PNG of a gigapixel of which there is nothing", _plain_png(32_000, 32_000, lines=1)


def _metadata(cat: Image.Image) -> Iterator[tuple[str, bytes]]:
    jpeg, png = _saved(cat, "JPEG"), _saved(cat, "PNG")
    segment = b"\xff\xe5" + struct.pack(">H", 65_000) + bytes(64_998)
    yield "JPEG with 6 MB of metadata", jpeg[:2] + segment * 100 + jpeg[2:]
    yield (
        "JPEG with EXIF that makes no sense",
        _saved(cat, "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\x7f" + bytes(90)),
    )
    yield "JPEG with a colour profile that makes no sense", _saved(cat, "JPEG", icc_profile=b"profile" * 5000)
    yield "PNG with 8 MB of text", png[:33] + _chunk(b"tEXt", b"Comment\x00" + b"x" * 8_000_000) + png[33:]
    yield (
        "PNG with text that is a bomb",
        png[:33] + _chunk(b"zTXt", b"a\x00\x00" + zlib.compress(bytes(50_000_000), 1)) + png[33:],
    )
    yield "PNG with a chunk that says 2 GB", png[:33] + struct.pack(">I", 2**31 - 1) + b"tEXt" + png[33:]
    yield "PNG whose palette is missing", _png(320, 240, kind=3, data=bytes(321 * 240))


def _with(content: bytes, at: int, part: bytes) -> bytes:
    return content[:at] + part + content[at + len(part) :]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png_with_header(png: bytes, width: int, height: int) -> bytes:
    """With another size in its header, whose checksum is right."""
    return png[:8] + _chunk(b"IHDR", struct.pack(">II", width, height) + png[24:29]) + png[33:]


def _plain_png(width: int, height: int, lines: int | None = None) -> bytes:
    """Black, a bit a pixel; with fewer `lines` than it says, if wanted."""
    compressor, packed = zlib.compressobj(1), []
    line = bytes(1 + (width + 7) // 8)
    for _ in range(height if lines is None else lines):
        packed.append(compressor.compress(line))
    return _png(width, height, bits=1, packed=b"".join([*packed, compressor.flush()]))


def _png(width: int, height: int, *, kind: int = 0, bits: int = 8, data: bytes = b"", packed: bytes = b"") -> bytes:
    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    content = packed or zlib.compress(data)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", content) + _chunk(b"IEND", b"")
