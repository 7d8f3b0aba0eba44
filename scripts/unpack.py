"""Takes a Paddle inference archive out of a tar file, and nothing else."""

from __future__ import annotations

import gzip
import lzma
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from scripts.archive import PARAMETERS, PROGRAMS
from scripts.errors import ArchiveError

#: The largest archive, ResNeXt101_32x48d_wsl's, has 3.3 GB.
MAX_BYTES = 8 * 2**30

_WANTED = (*PROGRAMS, PARAMETERS)
_DESCRIBED = f"{' or '.join(PROGRAMS)}, and {PARAMETERS}"
_DAMAGED = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile)


def unpack(tar: Path, folder: Path, called: str) -> None:
    """Puts the program and the parameters in `tar`, wherever they stand in it, into a new `folder`, all or nothing.

    ArchiveError, which calls the tar `called`, if it is damaged, lacks or repeats one of them, is too large, or
    isn't what it pretends to be.
    """
    with replacing(folder) as fresh:
        try:
            with tarfile.open(tar) as opened:
                _extract(opened, fresh, called)
        except _DAMAGED as error:
            raise ArchiveError(f"{called} is cut short or no tar file; get it again") from error
        found = {path.name for path in fresh.iterdir()}
        if PARAMETERS not in found or found.isdisjoint(PROGRAMS):
            raise ArchiveError(f"{called} isn't a Paddle inference archive: it must hold {_DESCRIBED}")


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """An empty folder to write to, which takes `folder`'s place if nothing was raised. ArchiveError if it can't."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as temporary:
            fresh = Path(temporary) / "new"
            fresh.mkdir()
            yield fresh
            if folder.exists():
                folder.rename(Path(temporary) / "old")
            fresh.rename(folder)
    except OSError as error:
        raise unwritable(folder, error) from error


def unwritable(folder: Path, error: OSError) -> ArchiveError:
    """What the user is told when `folder` can't be written."""
    return ArchiveError(f"couldn't write {folder}: {error.strerror or error}; make room there, or choose another place")


def _extract(opened: tarfile.TarFile, folder: Path, called: str) -> None:
    total = 0
    for member in opened:
        total += member.size
        if total > MAX_BYTES:
            raise ArchiveError(f"{called} unpacks to more than {MAX_BYTES >> 30} GiB: no archive of the zoo does")
        path = PurePosixPath(member.name)
        if path.name not in _WANTED:
            continue
        if not member.isfile() or path.is_absolute() or ".." in path.parts:
            raise ArchiveError(f"{called} holds {member.name!r}, a link or a path that leads outside; don't trust it")
        if (folder / path.name).exists():
            raise ArchiveError(f"{called} holds {path.name} more than once; give a tar with one archive")
        _copy(opened, member, folder / path.name)


def _copy(opened: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    source = opened.extractfile(member)
    assert source is not None, "a regular file always has content"
    with source, target.open("xb") as file:
        shutil.copyfileobj(source, file, 1 << 20)
