"""archives.lock: what each official archive was when it was first downloaded. Upstream publishes no checksums."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from filelock import FileLock

from scripts.errors import ArchiveError, ScriptError
from scripts.files import write_whole

#: Environment variable with the path of another lock file.
LOCK = "TRITONCLAS_ARCHIVES_LOCK"
COMMITTED = Path(__file__).resolve().parents[2] / "archives.lock"

#: Seconds. Another process holds the file for as long as it takes to write a page.
_WAIT_S = 10.0
_CHUNK = 2**22


@dataclass(frozen=True)
class Entry:
    """An archive's tar file as it came: `url` is PaddleClas's own, `mirror` the one that was asked instead, if any."""

    url: str
    bytes: int
    sha256: str
    date: str
    mirror: str | None = None

    @classmethod
    def of(cls, tar: Path, url: str, mirror: str | None) -> Entry:
        """What is recorded of a download of today."""
        today = datetime.now(timezone.utc).date().isoformat()
        return cls(url, tar.stat().st_size, sha256_of(tar), today, mirror)

    @classmethod
    def parse(cls, fields: Any) -> Entry:
        """An entry from its JSON; TypeError if it isn't one."""
        entry = cls(**fields)
        texts = (entry.url, entry.date, entry.mirror or "")
        if not (type(entry.bytes) is int and all(isinstance(text, str) for text in texts)):
            raise TypeError("a field is of another type")
        if not re.fullmatch("[0-9a-f]{64}", entry.sha256):
            raise TypeError("sha256 isn't 64 hexadecimal digits")
        return entry

    def fields(self) -> dict[str, Any]:
        """The entry as JSON."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def described(self) -> str:
        """The content in a few words."""
        return f"sha256 {self.sha256[:12]}… and {self.bytes} bytes"

    def is_same_file(self, other: Entry) -> bool:
        """Whether both are of the same content, wherever it came from."""
        return (self.bytes, self.sha256) == (other.bytes, other.sha256)


class ArchiveLock:
    """The file and its entries, by the models' names."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def chosen(cls) -> ArchiveLock:
        """The one that the environment names, or the committed one."""
        return cls(Path(os.environ.get(LOCK) or COMMITTED))

    def find(self, name: str) -> Entry | None:
        """What is recorded of a model's archive; ArchiveError if the file can't be read."""
        fields = self._read().get(name)
        if fields is None:
            return None
        try:
            return Entry.parse(fields)
        except TypeError as error:
            raise self._unreadable(f"the entry {name} is broken: {error}") from error

    def add(self, name: str, entry: Entry) -> bool:
        """Record a first download, and keep all else; False if the file can't be written.

        ArchiveError if another run has recorded another file in the meantime.
        """
        try:
            with self._alone():
                if there := self.find(name):
                    self.check(name, there, entry)
                    return True
                archives = self._read() | {name: entry.fields()}
                write_whole(self.path, json.dumps({"archives": archives}, indent=2, sort_keys=True) + "\n")
        except ArchiveError:
            raise
        except (OSError, ScriptError):
            return False
        return True

    def check(self, name: str, recorded: Entry, found: Entry) -> None:
        """ArchiveError that says what to do unless both are the same file."""
        if not recorded.is_same_file(found):
            raise self.differs(name, found.mirror or found.url, recorded.described(), f"it has {found.described()}")

    def differs(self, name: str, url: str, was: str, now: str) -> ArchiveError:
        """What the user is told when an archive isn't the one that was recorded."""
        return ArchiveError(
            f"{url} isn't the archive that {self.path} records: {now}, not {was}; if PaddleClas has published a "
            f"new one that you trust, delete the entry {name} there and try again"
        )

    def _alone(self) -> FileLock:
        """Others wait. The repository ignores this folder."""
        guard = self.path.parent / ".cache" / f"{self.path.name}.lock"
        guard.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(guard, timeout=_WAIT_S)

    def _read(self) -> dict[str, Any]:
        try:
            archives = json.loads(self.path.read_text(encoding="utf-8"))["archives"]
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as error:
            raise self._unreadable(str(error.strerror)) from error
        except (ValueError, LookupError, TypeError) as error:
            raise self._unreadable("it isn't the JSON that it should be") from error
        if not isinstance(archives, dict):
            raise self._unreadable("its archives aren't named")
        return archives

    def _unreadable(self, why: str) -> ArchiveError:
        return ArchiveError(f"{self.path} can't be used: {why}; get it from the repository again (git checkout)")


def sha256_of(path: Path) -> str:
    """A file's SHA-256, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
