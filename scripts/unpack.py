"""Takes a Paddle inference archive out of a tar file, and nothing else."""

from __future__ import annotations

import gzip
import lzma
import os
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from scripts import inference_yml
from scripts.archive import DOWNLOAD, MADE, PARAMETERS, PROGRAMS
from scripts.errors import ArchiveError
from scripts.files import unreadable, unwritable

#: The largest archive, ResNeXt101_32x48d_wsl's, has 3.3 GB.
MAX_BYTES = 8 * 2**30

#: A few files, the folder, and what macOS and tar itself put beside each.
MAX_MEMBERS = 1000

#: What may stand beside the program: what newer exports say of the preprocessing, and what ours say of their weights.
BESIDE = (inference_yml.FILE, MADE)
MAX_BESIDE_BYTES = inference_yml.MOST_BYTES

#: Names and attributes that don't fit into a member's header stand in members of their own, which are read whole.
_EXTENSIONS = frozenset(
    {tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK}
)
_MAX_EXTENSION_BYTES = 2**16

_WANTED = (*PROGRAMS, PARAMETERS, *BESIDE)
#: Also what Paddle 2 writes beside the parameters, and what is noted of a download.
_REPLACEABLE = frozenset({*_WANTED, f"{PARAMETERS}.info", DOWNLOAD})
_DESCRIBED = f"{' or '.join(PROGRAMS)}, and {PARAMETERS}"
_DAMAGED = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, RecursionError)


class _Trap(Exception):
    """A header that no honest tar file of an archive has; says which."""


class _Header(tarfile.TarInfo):
    """Headers that make tarfile itself read without end are refused before it does."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Header:
        header = super().frombuf(buf, encoding, errors)
        if header.size < 0 or (header.type in _EXTENSIONS and header.size > _MAX_EXTENSION_BYTES):
            raise _Trap(f"a header of {header.size} bytes")
        if header.type == tarfile.GNUTYPE_SPARSE:
            raise _Trap("a file with holes")
        return header

    def _proc_gnusparse_10(self, *_: object) -> None:
        raise _Trap("a file with holes")


def unpack(tar: Path, folder: Path, called: str) -> None:
    """Puts the archive in `tar`, wherever it stands in it, into a new `folder`, all or nothing.

    That is the program, the parameters and, if they are there, inference.yml and our own mark. ArchiveError, which
    calls the tar `called`, if it is damaged, lacks or repeats one of them, is too large, or isn't what it pretends
    to be.
    """
    with replacing(folder) as fresh:
        extract(tar, fresh, called)


def extract(tar: Path, folder: Path, called: str) -> None:
    """As unpack, into an empty folder, which may be left with a part."""
    try:
        with _opened(tar) as opened:
            homes = _extract(opened, folder, called)
    except _DAMAGED as error:
        raise ArchiveError(f"{called} is cut short or no tar file; get it again") from error
    except _Trap as trap:
        raise ArchiveError(f"{called} holds {trap}, which no archive needs; don't trust it") from trap
    if PARAMETERS not in homes or homes.keys().isdisjoint(PROGRAMS):
        raise ArchiveError(f"{called} isn't a Paddle inference archive: it must hold {_DESCRIBED}")
    for name in BESIDE:
        if homes.get(name, homes[PARAMETERS]) != homes[PARAMETERS]:
            (folder / name).unlink()
            del homes[name]
    if len(set(homes.values())) > 1:
        raise ArchiveError(f"{called} holds program and parameters in different folders; give a tar with one archive")


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """An empty folder to write to, which takes `folder`'s place if nothing was raised.

    ScriptError if it can't, or if anything but an archive has that place.
    """
    try:
        _check_replaceable(folder)
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


def _opened(tar: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(tar, tarinfo=_Header)
    except _DAMAGED:  # one of them is an OSError
        raise
    except OSError as error:
        raise unreadable(tar, error) from error


def _check_replaceable(folder: Path) -> None:
    """ArchiveError if anything of somebody else's would be lost."""
    if not folder.is_dir():
        if os.path.lexists(folder):
            raise ArchiveError(f"{folder} is no folder, and would be lost; move it away, or choose another place")
        return
    for path in sorted(folder.iterdir()):
        if path.name not in _REPLACEABLE or not path.is_file():
            raise ArchiveError(
                f"{folder} holds {path.name}, which is no part of an archive, and would lose it; "
                "move it away, or choose another place"
            )


def _extract(opened: tarfile.TarFile, folder: Path, called: str) -> dict[str, PurePosixPath]:
    """Copies what is wanted; returns in which folder of the tar each file stood."""
    homes: dict[str, PurePosixPath] = {}
    total = 0
    for count, member in enumerate(opened):
        total += member.size
        _check_bounds(count, total, called)
        path = PurePosixPath(member.name)
        if path.name not in _WANTED:
            continue
        _check_member(member, path, called)
        if path.name in homes:
            raise ArchiveError(f"{called} holds {path.name} more than once; give a tar with one archive")
        homes[path.name] = path.parent
        _copy(opened, member, folder / path.name)
    return homes


def _check_bounds(count: int, total: int, called: str) -> None:
    if count >= MAX_MEMBERS:
        raise ArchiveError(f"{called} holds more than {MAX_MEMBERS} files: no archive of the zoo does")
    if total > MAX_BYTES:
        raise ArchiveError(f"{called} unpacks to more than {MAX_BYTES >> 30} GiB: no archive of the zoo does")


def _check_member(member: tarfile.TarInfo, path: PurePosixPath, called: str) -> None:
    if not member.isreg() or member.issparse() or path.is_absolute() or ".." in path.parts:
        raise ArchiveError(
            f"{called} holds {member.name!r}, a link, a device or a path that leads outside; don't trust it"
        )
    if path.name in BESIDE and member.size > MAX_BESIDE_BYTES:
        raise ArchiveError(f"{called} holds {path.name} of {member.size} bytes, more than any export; don't trust it")


def _copy(opened: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    source = opened.extractfile(member)
    assert source is not None, "a regular file always has content"
    with source, target.open("xb") as file:
        shutil.copyfileobj(source, file, 1 << 20)
