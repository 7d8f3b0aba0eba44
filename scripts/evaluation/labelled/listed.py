"""ImageNet's form, as PaddleClas writes it: a list with `PATH INDEX` a line, beside a folder of pictures."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from scripts.evaluation.labelled.pictures import LabelError, Labelled, LabelledSet, check_index

#: A list is some megabytes; this is room for any, and keeps out files that aren't lists.
MOST_BYTES = 256 * 2**20

#: Paths may hold blanks: the last one separates.
_ENTRY = re.compile(r"(\S.*?)\s+([+-]?\d+)", re.ASCII)

#: So many lines are tried when it is found out what the list's paths begin at.
_TRIED_LINES = 100


@dataclass(frozen=True, slots=True)
class Line:
    """A line that says something, without the white space around it."""

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A picture's line."""

    number: int
    path: PurePath
    index: int


def text_lines(path: Path) -> list[Line]:
    """The lines of a text file, without empty ones and comments (`# …`); LabelError if there are none."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise LabelError(f"{path} is larger than {MOST_BYTES >> 20} MiB: it isn't a list of labels")
        content = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise LabelError(f"{path} can't be read ({error.strerror}); give --labels a text file") from error
    except UnicodeDecodeError as error:
        raise LabelError(f"{path} isn't UTF-8 text ({error.reason} at byte {error.start})") from None
    stripped = (Line(number, text.strip()) for number, text in enumerate(content.split("\n"), start=1))
    lines = [line for line in stripped if line.text and line.text != "#" and not line.text.startswith("# ")]
    if not lines:
        raise LabelError(f"{path} is empty; it needs a picture a line, `PATH INDEX`")
    return lines


def is_list(lines: Sequence[Line], folder: Path) -> bool:
    """True for a list of pictures, as its first line tells; False for the names of folders, such as `class 1`."""
    if not _ENTRY.fullmatch(lines[0].text):
        return False
    folders = {path.name for path in folder.iterdir() if path.is_dir()}
    return not any(line.text in folders or line.text.partition(" ")[2] in folders for line in lines)


def listed_pictures(lines: Sequence[Line], folder: Path, labels: Path, classes: int) -> LabelledSet:
    """The listed pictures; LabelError if one isn't there, is listed twice, or is of a class that isn't there."""
    entries = [_entry(line, labels) for line in lines]
    _check_indices(entries, labels, classes)
    place = _placing(entries, folder, labels)
    placed = [(entry, place(entry.path)) for entry in entries]
    _check_files(placed, folder, labels)
    _check_once(placed, labels)
    pictures = tuple(Labelled(folder / path, entry.index) for entry, path in placed if path)
    return LabelledSet(folder, pictures, f"listed in {labels}")


def _entry(line: Line, labels: Path) -> Entry:
    if not (match := _ENTRY.fullmatch(line.text)):
        raise LabelError(f"line {line.number} of {labels} isn't `PATH INDEX`: {line.text[:60]!r}")
    return Entry(line.number, PurePath(match[1]), int(match[2][:10]))  # more digits are out of range as well


def _check_indices(entries: Sequence[Entry], labels: Path, classes: int) -> None:
    counted_from_one = {min(entry.index for entry in entries), max(entry.index for entry in entries)} == {1, classes}
    hint = "; the list seems to count from 1, and must count from 0" if counted_from_one else ""
    for entry in entries:
        check_index(entry.index, classes, f"line {entry.number} of {labels}", hint)


Place = Callable[[PurePath], "PurePath | None"]


def _places(folder: Path) -> Iterator[Place]:
    """What a list's paths may begin at: the folder, the one above it, or anywhere."""

    def below(path: PurePath) -> PurePath | None:
        for root in (folder, folder.resolve()):
            if path.is_absolute() and path.is_relative_to(root):
                return path.relative_to(root)
        return None if path.is_absolute() or ".." in path.parts else path

    yield below
    yield lambda path: below(PurePath(*path.parts[1:]))
    yield lambda path: below(PurePath(path.name))


def _placing(entries: Sequence[Entry], folder: Path, labels: Path) -> Place:
    """The first reading of the list's paths that finds a picture; it then holds for all of them."""
    for place in _places(folder):
        if any(_is_file(folder, place(entry.path)) for entry in entries[:_TRIED_LINES]):
            return place
    raise LabelError(
        f"{folder} has none of the pictures that {labels} lists, such as {str(entries[0].path)!r}; "
        "give --images the folder that the list's paths begin at"
    )


def _is_file(folder: Path, path: PurePath | None) -> bool:
    try:
        return path is not None and (folder / path).is_file()
    except OSError:  # a name too long, a folder that may not be looked into
        return False


Placed = Sequence["tuple[Entry, PurePath | None]"]


def _check_files(placed: Placed, folder: Path, labels: Path) -> None:
    missing = [entry for entry, path in placed if not _is_file(folder, path)]
    if missing:
        raise LabelError(
            f"{len(missing)} of the {len(placed)} pictures that {labels} lists aren't in {folder}, the first is "
            f"{str(missing[0].path)!r} in line {missing[0].number}; complete the folder, or take them off the list"
        )


def _check_once(placed: Placed, labels: Path) -> None:
    seen: dict[PurePath | None, int] = {}
    for entry, path in placed:
        if (first := seen.setdefault(path, entry.number)) != entry.number:
            raise LabelError(f"lines {first} and {entry.number} of {labels} are about the same picture, {str(path)!r}")
