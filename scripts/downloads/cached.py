"""What a folder of the cache holds: the download that it was unpacked from, and how its files looked then."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from scripts.archive import DOWNLOAD
from scripts.downloads.archive_lock import Entry, sha256_of
from scripts.errors import ScriptError
from scripts.files import write_whole


@dataclass(frozen=True)
class _File:
    bytes: int
    mtime_ns: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> _File:
        status = path.stat()
        return cls(status.st_size, status.st_mtime_ns, sha256_of(path))


def record(folder: Path, entry: Entry) -> None:
    """Note what was just unpacked into `folder`, once it is on the disk; OSError or ScriptError if it can't be."""
    files = {}
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            os.fsync(file.fileno())  # or a power cut leaves files of the right size and time, without content
        files[path.name] = _File.of(path)
    _write(folder, entry, files)


def recorded(folder: Path, expected: Entry | None) -> Entry | None:
    """The download that `folder` holds; None if it isn't the one expected, nobody knows, or a file is damaged.

    A file whose size and time are those that were noted is taken as it is: hashing 3.3 GB takes seconds in every
    command, and what changes a file changes its time. With another time (a cache that was copied) it is hashed once.
    """
    try:
        read = json.loads((folder / DOWNLOAD).read_text(encoding="utf-8"))
        entry = Entry.parse(read["entry"])
        files = {name: _File(**fields) for name, fields in read["files"].items()}
        if expected and not expected.is_same_file(entry):
            return None
        now = {name: _look(folder / name, noted) for name, noted in files.items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
    if any(replace(now[name], mtime_ns=noted.mtime_ns) != noted for name, noted in files.items()):
        return None
    if now != files:
        with contextlib.suppress(ScriptError):
            _write(folder, entry, now)
    return entry


def _look(path: Path, noted: _File) -> _File:
    """The file as it is now, not hashed if its size and time say enough."""
    status = path.stat()
    if status.st_size != noted.bytes or status.st_mtime_ns == noted.mtime_ns:
        return replace(noted, bytes=status.st_size)
    return _File.of(path)


def _write(folder: Path, entry: Entry, files: Mapping[str, _File]) -> None:
    noted: dict[str, Any] = {name: asdict(file) for name, file in files.items()}
    write_whole(folder / DOWNLOAD, json.dumps({"entry": entry.fields(), "files": noted}, indent=2) + "\n")
