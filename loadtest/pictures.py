"""The pictures that a load test sends, held in memory."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from loadtest.errors import LoadTestError
from tritonclas.preprocess import BadImage, check_header, decode

#: The repository's own pictures.
EXAMPLES = Path(__file__).parent.parent / "examples"

#: Enough for variety; the rest of a large folder is left out.
MOST_BYTES = 256 * 2**20

#: What figures are broken down by: a picture's width times height, in megapixels.
SIZE_CLASSES = ("up to 0.05 MP", "up to 0.5 MP", "up to 2 MP", "up to 8 MP", "above 8 MP")
_LARGEST = (50_000, 500_000, 2_000_000, 8_000_000)


@dataclass(frozen=True)
class Pictures:
    """Encoded pictures, of each the place of its size in SIZE_CLASSES, and what they are in a reader's words."""

    contents: tuple[bytes, ...] = field(repr=False)
    sizes: tuple[int, ...] = field(repr=False)
    description: str

    @property
    def digest(self) -> str:
        """Of all of their bytes, in their order."""
        return hashlib.sha256(b"".join(hashlib.sha256(each).digest() for each in self.contents)).hexdigest()[:16]


def size_class(pixels: int) -> int:
    """The place in SIZE_CLASSES of a picture of that many pixels."""
    return bisect_left(_LARGEST, pixels)


Tick = Callable[[], None]


def read_pictures(folder: Path, most_bytes: int = MOST_BYTES, tick: Tick = lambda: None) -> Pictures:
    """The encoded pictures in a folder and those below it, sorted by path, at most `most_bytes` of them.

    Files that aren't pictures are passed over, and so are damaged ones, which would fail every request that they are
    in: all are decoded once, which takes a few seconds where there are `most_bytes`; `tick` is called for each.
    LoadTestError if none is left.
    """
    check_folder(folder)
    contents: list[bytes] = []
    pixels: list[int] = []
    damaged = 0
    room = most_bytes
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        tick()
        if not (found := _picture(path, room)):
            continue
        if _is_whole(found[0]):
            contents.append(found[0])
            pixels.append(found[1])
            room -= len(found[0])
        else:
            damaged += 1
    if not contents:
        raise LoadTestError(
            f"{folder} holds no picture that can be read; give --images a folder with JPEG or PNG files"
        )
    return Pictures(tuple(contents), tuple(map(size_class, pixels)), _description(folder, pixels, damaged))


def check_folder(folder: Path) -> None:
    """LoadTestError unless it is one."""
    if not folder.is_dir():
        raise LoadTestError(f"{folder} is not a folder; give --images a folder of pictures")


def _picture(path: Path, room: int) -> tuple[bytes, int] | None:
    """The file's content and its pixels; None if it isn't a picture or takes more than `room` bytes."""
    try:
        if path.stat().st_size > room:
            return None
        content = path.read_bytes()
        width, height = check_header(content)
    except (OSError, BadImage):
        return None
    return content, width * height


def _is_whole(content: bytes) -> bool:
    """Whether all of it can be decoded."""
    try:
        decode(content)
    except BadImage:
        return False
    return True


def _description(folder: Path, pixels: Sequence[int], damaged: int) -> str:
    number = "1 picture" if len(pixels) == 1 else f"{len(pixels)} pictures"
    smallest, largest = _megapixels(min(pixels)), _megapixels(max(pixels))
    sizes = smallest if smallest == largest else f"{smallest}–{largest}"  # noqa: RUF001
    without = f", {damaged} damaged left out" if damaged else ""
    return f"{number} of {folder.resolve().name} ({sizes} MP){without}"


def _megapixels(pixels: int) -> str:
    """Two digits, of small pictures one: 0.002, 0.27, 1.2, 12."""
    if pixels < 10_000:
        return f"{max(pixels, 1000) / 1e6:.3f}"
    return f"{pixels / 1e6:.{2 if pixels < 10**6 else 1 if pixels < 10**7 else 0}f}"
