"""Pictures in formats that Pillow reads and OpenCV doesn't: sent as PNG, without loss."""

from __future__ import annotations

import contextlib
import io
from typing import Final

from PIL import Image, ImageOps

from tritonclas.preprocess import MAX_PIXELS, BadImage

#: Pillow's names of the formats. AVIF is in its wheels from 11.3 on, HEIF in those of pillow-heif.
FORMATS: Final = ("GIF", "AVIF", "HEIF")

#: Brands by which files of the ISO container say that they are pictures (ISO/IEC 23008-12, annex B; AV1 in HEIF).
_BRANDS: Final = {
    **dict.fromkeys((b"avif", b"avis"), ("AVIF", "it needs Pillow 11.3 or newer")),
    **dict.fromkeys((b"heic", b"heix", b"hevc", b"heim", b"mif1", b"msf1"), ("HEIF", "pip install pillow-heif")),
}

#: Pillow modes that a PNG keeps as they are, so that the server sees what a file of theirs would hold.
_PNG_MODES: Final = {"1", "L", "LA", "P", "RGB", "RGBA", "I;16"}


def looks_convertible(content: bytes) -> bool:
    """Whether it may be in one of these formats, by its first bytes."""
    return content.startswith(b"GIF8") or content[4:8] == b"ftyp"


def png_of_file(content: bytes) -> bytes | None:
    """The picture in the file, of several the first, as PNG; None if it is in none of these formats.

    BadImage if it is too large or damaged, or if what reads its format isn't installed.
    """
    name, remedy = _BRANDS.get(content[8:12], ("", "")) if content[4:8] == b"ftyp" else ("", "")
    readable = [each for each in FORMATS if _readable(each)]
    if name and name not in readable:
        raise BadImage(f"pictures in {name} can't be read here; {remedy}")
    try:
        image = Image.open(io.BytesIO(content), formats=readable)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadImage(f"far above the limit of {MAX_PIXELS} pixels ({error})") from error
    except Exception:  # noqa: BLE001  Pillow's readers raise almost anything on what isn't theirs
        return None
    with image:
        if image.width * image.height > MAX_PIXELS:
            raise BadImage(f"{image.width}x{image.height} pixels; at most {MAX_PIXELS} are accepted")
        return png_of_image(image)


def _readable(name: str) -> bool:
    if name == "HEIF":
        with contextlib.suppress(ImportError):
            import pillow_heif  # noqa: PLC0415  only when it is needed, and only if it is there

            pillow_heif.register_heif_opener()
    Image.init()
    return name in Image.OPEN


def png_of_image(image: Image.Image) -> bytes:
    """A Pillow image, turned as its EXIF orientation says, as PNG; BadImage if it can't be had."""
    buffer = io.BytesIO()
    try:
        _savable(ImageOps.exif_transpose(image)).save(buffer, "PNG", compress_level=1)
    except BadImage:
        raise
    except Exception as error:  # closed, cut short, empty: Pillow's readers and those of others raise almost anything
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
