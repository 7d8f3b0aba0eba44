"""PaddleClas's published inference archives: downloaded once into the user's cache, and always the same."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import platformdirs
from filelock import FileLock, Timeout

from scripts.archive import Archive
from scripts.console import progress_console
from scripts.downloads.archive_lock import ArchiveLock, Entry
from scripts.downloads.cached import record, recorded
from scripts.downloads.download import DownloadError, OtherSize, download
from scripts.downloads.http_answers import without_credentials
from scripts.downloads.partial import Partial
from scripts.downloads.patience import Patience
from scripts.errors import ArchiveError, ScriptError
from scripts.files import unwritable
from scripts.unpack import MAX_BYTES, extract, replacing
from tritonclas import zoo

#: Environment variable with the URL of a mirror's folder of *_infer.tar files.
MIRROR = "TRITONCLAS_ARCHIVES"

PATIENCE = Patience()

#: Seconds that another run's download of the same archive is waited for: the largest, 3.3 GB, at 1 MB/s.
LONGEST_WAIT_S = 3600.0

_INSTEAD = "give --weights synthetic, or --weights PATH with the archive"


@dataclass(frozen=True)
class _Wanted:
    """A model's archive: where it is asked for, where it is kept, and what is known of it."""

    model: zoo.Model
    url: str
    folder: Path
    lock: ArchiveLock
    expected: Entry | None

    @classmethod
    def of(cls, model: zoo.Model) -> _Wanted:
        lock = ArchiveLock.chosen()
        return cls(model, archive_url(model), cache_folder() / f"{model.name}_infer", lock, lock.find(model.name))

    @property
    def tar(self) -> Path:
        """Where it is downloaded to."""
        return self.folder.with_name(f"{self.folder.name}.tar")

    @property
    def mirror(self) -> str | None:
        return None if self.url == self.model.archive_url else without_credentials(self.url)


def open_official(model: zoo.Model) -> Archive:
    """The row's archive as PaddleClas publishes it, downloaded unless it is in the cache.

    ArchiveError if PaddleClas has none, the download fails, what comes isn't an archive, or isn't the one that
    archives.lock records.
    """
    wanted = _Wanted.of(model)
    entry = _cached(wanted)
    if entry is None:
        with alone(wanted.folder):
            wanted = _Wanted.of(model)  # another run may have put it there in the meantime
            entry = _cached(wanted) or _download(wanted)
    elif _leftovers(wanted):
        _tidy(wanted)
    return Archive.open(wanted.folder, "official", entry.mirror or entry.url)


def archive_url(model: zoo.Model) -> str:
    """The archive's URL, on the mirror that the environment names if it does."""
    if model.archive_url is None:
        raise ArchiveError(f"PaddleClas publishes no archive of {model.name}; give --weights sample")
    mirror = os.environ.get(MIRROR) or zoo.OFFICIAL_ARCHIVES
    if not mirror.lower().startswith(("http://", "https://")):
        raise ArchiveError(f"{MIRROR} is {mirror!r}: set it to the http or https URL of a folder, or to nothing")
    return mirror.rstrip("/") + model.archive_url.removeprefix(zoo.OFFICIAL_ARCHIVES)


def cache_folder() -> Path:
    """Where archives are kept, in the user's cache."""
    return platformdirs.user_cache_path("tritonclas") / "archives"


def lock_file(folder: Path) -> Path:
    """What a run holds while it downloads into `folder`."""
    return folder.parent / f".{folder.name}.lock"


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """No other run downloads into `folder` meanwhile. ArchiveError if one does so for too long."""
    lock = FileLock(lock_file(folder))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _acquire(lock, folder.name)
    except Timeout as error:
        raise ArchiveError(
            f"another run has been downloading {folder.name} for {LONGEST_WAIT_S:g} s; wait for it or end it "
            f"(it holds {lock.lock_file})"
        ) from error
    except OSError as error:
        raise ArchiveError(unwritable(folder, error).message) from error
    try:
        yield
    finally:
        lock.release()


def _acquire(lock: FileLock, name: str) -> None:
    with contextlib.suppress(Timeout):
        lock.acquire(timeout=0)
        return
    progress_console.print(f"Another run is downloading {name}; waiting for it (it holds {lock.lock_file})")
    lock.acquire(timeout=LONGEST_WAIT_S)


def _cached(wanted: _Wanted) -> Entry | None:
    entry = recorded(wanted.folder, wanted.expected)
    if entry:
        _remember(wanted, entry)
    return entry


def _download(wanted: _Wanted) -> Entry:
    """Puts the archive into its folder, all or nothing; a part of a download is kept beside it."""
    tar = wanted.tar
    try:
        _remove_leftovers(wanted)
        _get(wanted, tar)
        try:
            entry = _unpack(wanted, tar)
        except ArchiveError:
            Partial(tar).discard()
            raise
        Partial(tar).discard()
        _remember(wanted, entry)
    except OSError as error:
        raise ArchiveError(unwritable(wanted.folder, error).message) from error
    except ScriptError as error:
        raise ArchiveError(error.message) from error
    return entry


def _get(wanted: _Wanted, tar: Path) -> None:
    """The tar file, of the size that the lock file names if it does; ArchiveError otherwise."""
    expected = wanted.expected
    size = expected.bytes if expected else None
    try:
        # Two copies: for a moment the tar file and what is unpacked of it are both there.
        download(wanted.url, tar, max_bytes=MAX_BYTES, exact_bytes=size, copies=2, patience=PATIENCE)
    except OtherSize as error:
        assert expected, "it was asked for by its size"
        raise wanted.lock.differs(wanted.model.name, error.url, expected.described(), error.why) from error
    except DownloadError as error:
        remedies = ", or ".join(filter(None, (error.remedy, _INSTEAD)))
        raise ArchiveError(f"couldn't download {error.url}: {error.why}; {remedies}") from error


def _unpack(wanted: _Wanted, tar: Path) -> Entry:
    """The tar file's archive takes its place, if it is the one that is recorded."""
    entry = Entry.of(tar, str(wanted.model.archive_url), wanted.mirror)
    expected = wanted.expected
    if expected:
        wanted.lock.check(wanted.model.name, expected, entry)
    with replacing(wanted.folder) as fresh:
        extract(tar, fresh, entry.mirror or entry.url)
        record(fresh, entry)
    origin = f", from the mirror {entry.mirror}" if entry.mirror else ""
    same = ", as recorded" if expected else ""
    told = f"{entry.bytes / 1e6:.1f} MB downloaded, sha256 {entry.sha256[:12]}…{same}{origin}"
    progress_console.print(f"{tar.name}: {told}")
    return entry


def _remember(wanted: _Wanted, entry: Entry) -> None:
    """Record a first download. What can't be recorded is used all the same: a container's checkout is read-only."""
    name, path = wanted.model.name, wanted.lock.path
    if wanted.expected:
        return
    if wanted.lock.add(name, entry):
        progress_console.print(f"{name}: the first download, recorded in {path}; later ones must match")
    else:
        progress_console.print(f"Warning: {name}'s archive couldn't be recorded in {path}, which can't be written")


def _leftovers(wanted: _Wanted) -> list[Path]:
    """What a run that was killed while it unpacked, or just after, has left behind; also a part of a download."""
    unpacked = wanted.folder.parent.glob(f".{wanted.folder.name}-*")
    return [*unpacked, *([wanted.tar] if wanted.tar.exists() else [])]


def _tidy(wanted: _Wanted) -> None:
    """Everything that isn't needed beside a whole archive goes, if it can: the cache may be read-only, or another's."""
    with contextlib.suppress(OSError, Timeout), FileLock(lock_file(wanted.folder)).acquire(timeout=0):
        _remove_leftovers(wanted)
        Partial(wanted.tar).discard()


def _remove_leftovers(wanted: _Wanted) -> None:
    """All but a part of a download, with which one can go on."""
    for left in _leftovers(wanted):
        if left != wanted.tar:
            shutil.rmtree(left, ignore_errors=True)
