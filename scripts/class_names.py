"""The names of a user's classes, from a file or a list."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from scripts.errors import ArchiveError

#: A label file is some kilobytes; this is room for any.
MOST_BYTES = 16 * 2**20

_NUMBERED = re.compile(r"(\d+)[\s:,]+(\S.*)")


def read_class_names(path: Path) -> tuple[str, ...]:
    """The names in a file, one a line in the order of the classes, or as PaddleClas writes them, `INDEX NAME` a line.

    ArchiveError if it can't be read, or has a line without a name.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ArchiveError(f"{path} is larger than {MOST_BYTES >> 20} MiB: it isn't a list of class names")
        lines = path.read_text(encoding="utf-8-sig").rstrip().split("\n")
    except OSError as error:
        raise ArchiveError(f"{path} can't be read ({error.strerror}); give --labels a file of class names") from error
    except UnicodeDecodeError as error:
        raise ArchiveError(
            f"{path} isn't UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8"
        ) from None
    return class_names([line.strip() for line in lines], str(path))


def class_names(names: Sequence[str], called: str) -> tuple[str, ...]:
    """The names in the order of the classes; ArchiveError, which calls the list `called`, if one is empty."""
    for number, name in enumerate(names, start=1):
        if not name.strip():
            raise ArchiveError(f"line {number} of {called} is empty; give one class name a line, without gaps")
        if not name.isprintable():
            raise ArchiveError(f"line {number} of {called} holds characters that can't be printed: {name!r}")
    return _without_numbers(names) or tuple(names)


def _without_numbers(names: Sequence[str]) -> tuple[str, ...] | None:
    """The names in their numbers' order; None unless every one is numbered, from 0 on, each number once."""
    numbered = [_NUMBERED.fullmatch(name) for name in names]
    found = {int(match[1]): match[2] for match in numbered if match}
    if sorted(found) != list(range(len(names))):
        return None
    return tuple(found[index] for index in range(len(names)))
