"""A folder of photos as one picture: thumbnails with their file name, most probable class and its score.

python examples/contact_sheet.py examples --out sheet.jpg --url localhost:8001 --model EfficientNetLite0
"""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from tritonclas import Classification, Classifier, ImageRejected, TritonClasError

Result = Classification | ImageRejected

#: What is taken for a photo in a folder, also what the server then refuses.
PHOTOS = {".bmp", ".gif", ".heic", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
SHEETS = {".jpeg", ".jpg", ".png"}

#: Pixels.
THUMBNAIL = (240, 180)
CAPTION, TITLE, MARGIN = 62, 64, 20
PITCH = (THUMBNAIL[0] + MARGIN, THUMBNAIL[1] + CAPTION + MARGIN)
LARGEST_SIDE = 65_500  # JPEG's limit is 65535

PAPER, MAT, INK, PALE, ACCENT, GREY = "#fafaf8", "#ecece8", "#1d1d1f", "#77777c", "#2f6f9f", "#c9c9c6"


def photos_in(folder: Path, recursive: bool, sheet: Path) -> list[Path]:
    """The photos of a folder in order, without the sheet of last time."""
    found = folder.rglob("*") if recursive else folder.iterdir()
    photos = (path for path in found if path.suffix.lower() in PHOTOS and not path.name.startswith("."))
    return sorted(path for path in photos if path.resolve() != sheet.resolve())


def contact_sheet(photos: Sequence[Path], names: Sequence[str], classifier: Classifier, columns: int) -> Image.Image:
    """The sheet; each photo is opened when its answer is there, so that only thumbnails are held."""
    sheet = Image.new("RGB", sheet_size(len(photos), columns), PAPER)
    rejected = 0
    for place, (photo, result) in enumerate(zip(photos, classifier.classify_many(photos), strict=True)):
        row, column = divmod(place, columns)
        corner = (MARGIN + column * PITCH[0], TITLE + row * PITCH[1])
        sheet.paste(tile(photo, names[place], result), corner)
        rejected += isinstance(result, ImageRejected)
    write_title(sheet, classifier.model, len(photos), rejected)
    return sheet


def sheet_size(count: int, columns: int) -> tuple[int, int]:
    """Width and height in pixels."""
    return MARGIN + columns * PITCH[0], TITLE + -(-count // columns) * PITCH[1]


def tile(photo: Path, name: str, result: Result) -> Image.Image:
    """A photo above its caption."""
    picture = Image.new("RGB", (THUMBNAIL[0], THUMBNAIL[1] + CAPTION), PAPER)
    if isinstance(result, ImageRejected):
        picture.paste(grey_tile(result.reason))
        return captioned(picture, name, "rejected")
    picture.paste(thumbnail(photo))
    return captioned(picture, name, result.top.name or f"class {result.top.index}", result.top.score)


def thumbnail(photo: Path) -> Image.Image:
    """The photo, turned as its EXIF orientation says, in the middle of a mat; a grey tile if Pillow can't read it."""
    mat = Image.new("RGB", THUMBNAIL, MAT)
    try:
        with Image.open(photo) as opened:
            opened.draft("RGB", (2 * THUMBNAIL[0], 2 * THUMBNAIL[0]))  # a JPEG needn't be decoded in full
            small = ImageOps.exif_transpose(opened)
            small.thumbnail(THUMBNAIL)
            small = small.convert("RGBA")
    except (OSError, ValueError, SyntaxError) as error:
        return grey_tile(f"no thumbnail ({error})")
    mat.paste(small, ((mat.width - small.width) // 2, (mat.height - small.height) // 2), small)
    return mat


def grey_tile(reason: str) -> Image.Image:
    """A tile in a photo's place that says why it isn't there."""
    mat = Image.new("RGB", THUMBNAIL, GREY)
    text = textwrap.fill(printable(reason), width=30, max_lines=6, placeholder=" …")
    ImageDraw.Draw(mat).multiline_text((120, 90), text, INK, font(13), anchor="mm", align="center", spacing=5)
    return mat


def captioned(picture: Image.Image, name: str, label: str, score: float | None = None) -> Image.Image:
    """The tile with two lines under its photo, and a bar as long as the score is high."""
    draw = ImageDraw.Draw(picture)
    width, top = THUMBNAIL
    number = "" if score is None else f"{score:.3f}"
    draw.rectangle((0, top + 4, width - 1, top + 6), MAT)
    draw.rectangle((0, top + 4, round((width - 1) * (score or 0)), top + 6), ACCENT if score else MAT)
    draw.text((0, top + 13), fitted(name, font(13), width), PALE, font(13))
    draw.text((0, top + 33), fitted(label, font(17), width - font(17).getlength(number) - 8), INK, font(17))
    draw.text((width, top + 33), number, INK, font(17), anchor="ra")
    return picture


def write_title(sheet: Image.Image, model: str, count: int, rejected: int) -> None:
    """The model, and of how many photos the sheet is."""
    line = f"{count} photo{'s' * (count != 1)}" + (f", {rejected} rejected" if rejected else "")
    left = MARGIN + font(22).getlength(model) + 12
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, 42), fitted(model, font(22), sheet.width - 2 * MARGIN), INK, font(22), anchor="ls")
    draw.text((left, 42), fitted(line, font(15), sheet.width - MARGIN - left), PALE, font(15), anchor="ls")


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """Pillow's own font in that size."""
    found = ImageFont.load_default(size)
    assert isinstance(found, ImageFont.FreeTypeFont)
    return found


def fitted(text: str, its_font: ImageFont.FreeTypeFont, width: float) -> str:
    """The text, or as much of it as fits into so many pixels."""
    text = printable(text)
    if its_font.getlength(text) <= width:
        return text
    while text and its_font.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text.rstrip()}…"


def printable(text: str) -> str:
    """The text in one line, without what a font can't be given: half characters of undecodable file names."""
    return " ".join(text.encode("utf-8", "replace").decode().split())


def arguments_of(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """What the user wants; a usage error if that can't be."""
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=Path("contact_sheet.jpg"), help="a .jpg or .png file [%(default)s]")
    parser.add_argument("--columns", type=int, default=4, help="photos side by side [%(default)s]")
    parser.add_argument("--recursive", action="store_true", help="also the photos of folders in the folder")
    parser.add_argument("--url", default="localhost:8001", help="Triton's gRPC endpoint [%(default)s]")
    parser.add_argument("--model", default="EfficientNetLite0", help="[%(default)s]")
    arguments = parser.parse_args()
    if not arguments.folder.is_dir():
        parser.error(f"{arguments.folder} isn't a folder")
    if arguments.out.suffix.lower() not in SHEETS:
        parser.error(f"--out {arguments.out}: its name must end with .jpg or .png")
    if arguments.columns < 1:
        parser.error("--columns must be at least 1")
    return arguments


def main() -> None:
    """Write the sheet, and say where it is."""
    arguments = arguments_of(argparse.ArgumentParser(description="A folder of photos, classified, as one picture."))
    photos = photos_in(arguments.folder, arguments.recursive, arguments.out)
    if not photos:
        sys.exit(f"Error: {arguments.folder} has no photos ({', '.join(sorted(PHOTOS))})")
    columns = min(arguments.columns, len(photos))
    if max(sheet_size(len(photos), columns)) > LARGEST_SIDE:
        sys.exit(f"Error: {len(photos)} photos in {columns} columns are too many for one picture")
    names = [str(photo.relative_to(arguments.folder)) for photo in photos]
    with Classifier(arguments.url, arguments.model) as classifier:
        contact_sheet(photos, names, classifier, columns).save(arguments.out, quality=85)
    print(f"{arguments.out}: {len(photos)} photos")


if __name__ == "__main__":
    try:
        main()
    except (TritonClasError, OSError) as error:
        sys.exit(f"Error: {error}")
