"""The pictures that a load test sends, held in memory."""

from __future__ import annotations

from pathlib import Path

from loadtest.errors import LoadTestError
from tritonclas.preprocess import BadImage, check_header

#: The repository's own pictures.
EXAMPLES = Path(__file__).parent.parent / "examples"

#: Enough for variety; the rest of a large folder is left out.
MOST_BYTES = 256 * 2**20


def read_pictures(folder: Path, most_bytes: int = MOST_BYTES) -> tuple[bytes, ...]:
    """The encoded pictures in a folder and those below it, sorted by path, at most `most_bytes` of them.

    Files that aren't pictures are passed over; LoadTestError if none is left.
    """
    if not folder.is_dir():
        raise LoadTestError(f"{folder} is not a folder; give --images a folder of pictures")
    pictures: list[bytes] = []
    room = most_bytes
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if picture := _picture(path, room):
            pictures.append(picture)
            room -= len(picture)
    if not pictures:
        raise LoadTestError(
            f"{folder} holds no picture that can be read; give --images a folder with JPEG or PNG files"
        )
    return tuple(pictures)


def _picture(path: Path, room: int) -> bytes | None:
    """The file's content; None if it isn't a picture or takes more than `room` bytes."""
    try:
        if path.stat().st_size > room:
            return None
        content = path.read_bytes()
        check_header(content)
    except (OSError, BadImage):
        return None
    return content
