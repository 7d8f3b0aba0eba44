"""Files that other programs read while we write them."""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path

from scripts.errors import ScriptError

_LIBC = ctypes.CDLL(None, use_errno=True)
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # linux/fcntl.h, linux/fs.h


def write_whole(path: Path, text: str) -> None:
    """Write a file, and its folder, so that a reader sees the old text or the new one, never a part.

    ScriptError if it can't be written; then nothing is left behind.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch.write_text(text, encoding="utf-8")
        scratch.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            scratch.unlink(missing_ok=True)
        raise unwritable(path, error) from error


def exchange(one: Path, other: Path) -> None:
    """Let two paths on one file system, files or folders, trade places in a single step (renameat2, Linux).

    OSError if the file system can't do that, as NFS, or if either isn't there.
    """
    paths = os.fsencode(one.absolute()), os.fsencode(other.absolute())
    if _LIBC.renameat2(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_EXCHANGE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(one), None, str(other))


def unwritable(path: Path, error: OSError) -> ScriptError:
    """What the user is told when `path` can't be written."""
    return ScriptError(f"{path} can't be written ({error.strerror or error}); make room there, or choose another place")


def unreadable(path: Path, error: OSError) -> ScriptError:
    """What the user is told when `path` can't be read."""
    return ScriptError(f"{path} can't be read ({error.strerror or error}); give another, or the right to read it")
