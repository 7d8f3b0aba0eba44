"""A file that is being downloaded, and a note beside it of what it is a part of, so that a later run can go on."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from scripts.files import write_whole


@dataclass(frozen=True)
class Note:
    """Which file of which URL: its whole size in bytes, None if nobody said, and what tells its versions apart.

    `etag` is a strong entity tag; `modified` stands in for it where there is none.
    """

    url: str
    etag: str | None
    modified: str | None
    total: int | None


class Partial:
    """The bytes that have come so far, at `path`. One process at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.note_path = path.with_name(f"{path.name}.json")

    @property
    def size(self) -> int:
        """How many bytes there are."""
        return self.path.stat().st_size if self.path.is_file() else 0

    @property
    def note(self) -> Note | None:
        """What they are a part of; None if nobody knows."""
        try:
            return _note(json.loads(self.note_path.read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def is_whole(self) -> bool:
        """Whether nothing is missing."""
        note = self.note
        return note is not None and note.total == self.size

    def begin(self, note: Note) -> None:
        """An empty file and its note. In this order: bytes never lie beside the note of another file."""
        self.discard()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.touch()
        self._write(note)

    def end(self) -> None:
        """Nothing more comes: a size that nobody had said is known now."""
        if (note := self.note) and note.total is None:
            self._write(replace(note, total=self.size))

    def discard(self) -> None:
        """Nothing is left of it."""
        self.note_path.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)

    def _write(self, note: Note) -> None:
        write_whole(self.note_path, json.dumps(asdict(note)))


def _note(fields: dict[str, Any]) -> Note:
    """TypeError if these aren't a note's fields."""
    note = Note(**fields)
    texts = all(isinstance(text, str | None) for text in (note.etag, note.modified))
    if not (isinstance(note.url, str) and texts and isinstance(note.total, int | None)):
        raise TypeError("the note isn't one of ours")
    return note
