"""A piece of POSIX shared memory, and which request has which part of it. Nothing here talks to a server."""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import secrets
import stat
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

#: Where Linux shows POSIX shared memory as files (shm_overview(7)).
FOLDER: Final = Path("/dev/shm")  # noqa: S108  it is no place for temporary files, but this memory's name
PREFIX: Final = "tritonclas-"

#: The largest region; of it only what has been used takes memory.
MAX_BYTES: Final = 256 * 2**20
_SMALLEST_BLOCK: Final = 64 * 2**10

#: The share of /dev/shm that stays free for others, such as Triton's Python backend.
_LEFT_FREE: Final = 0.25

#: Seconds that a block isn't used again whose request got no answer: the server may still be about to read it.
REST_S: Final = 60.0


@dataclass(frozen=True)
class Block:
    """A part of a region: where it begins, and how long it is."""

    offset: int
    size: int


class Region:
    """Shared memory of this process, cut into blocks whose sizes are powers of two; threads may share it.

    OSError if the system has none. While its file is locked its owner lives: the system unlocks it however a process
    ends, so that others can take away what was left behind (`left_behind`).
    """

    def __init__(self, limit: int = MAX_BYTES, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = f"{PREFIX}{os.getpid()}-{secrets.token_hex(8)}"  # the process is for people to read
        self.limit = limit
        self._clock = clock
        self._process = os.getpid()
        self._file, self._map = _made(self.name, limit)
        self._used = self._reserved = 0
        self._free: list[tuple[float, Block]] = []
        self._lock = threading.Lock()
        self._end = weakref.finalize(self, _remove, self._process, self._file, FOLDER / self.name)

    def take(self, size: int) -> Block | None:
        """A block of at least that size, this caller's until it is given back; None if there is no room."""
        rounded = max(_SMALLEST_BLOCK, 1 << (size - 1).bit_length())
        with self._lock:
            return self._used_before(rounded) or self._more(rounded) or self._anew(rounded)

    def give_back(self, block: Block, *, answered: bool) -> None:
        """The block may be used again, or if its request wasn't answered, after a while."""
        with self._lock:
            self._free.append((0.0 if answered else self._clock() + REST_S, block))

    def write(self, block: Block, parts: Sequence[Any]) -> None:
        """Put buffers into the block, one after the other."""
        at = block.offset
        for part in parts:
            view = memoryview(part).cast("B")
            self._map[at : at + len(view)] = view
            at += len(view)

    def close(self) -> None:
        """Remove it. Whoever has it mapped, such as a server, keeps what was in it until they unmap it."""
        with self._lock:
            self._end()

    def _used_before(self, size: int) -> Block | None:
        """The smallest block that is free, and large enough."""
        now = self._clock()
        usable = [each for each in self._free if each[0] <= now and each[1].size >= size]
        if not usable:
            return None
        best = min(usable, key=lambda each: each[1].size)
        self._free.remove(best)
        return best[1]

    def _more(self, size: int) -> Block | None:
        """A block that wasn't used before; None at the limit, or when the system has little memory for it."""
        if not self._end.alive or self._used + size > self.limit:
            return None
        if self._used + size > self._reserved:
            try:
                system = os.fstatvfs(self._file)
                if (system.f_bavail * system.f_frsize - size) < system.f_blocks * system.f_frsize * _LEFT_FREE:
                    return None
                os.posix_fallocate(self._file, self._used, size)  # else a full /dev/shm would kill whoever writes
            except OSError:
                return None
            self._reserved = self._used + size
        block = Block(self._used, size)
        self._used += size
        return block

    def _anew(self, size: int) -> Block | None:
        """A block out of all that there is, cut up in another way, if nobody has any of it."""
        now = self._clock()
        if sum(block.size for free_at, block in self._free if free_at <= now) < self._used:
            return None
        self._used, self._free = 0, []
        return self._more(size)


def _made(name: str, size: int) -> tuple[int, mmap.mmap]:
    """The file, locked before it has its name, and its mapping."""
    path = FOLDER / f".{name}"
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(file, size)
        mapped = mmap.mmap(file, size)
        path.rename(FOLDER / name)
    except BaseException:
        os.close(file)
        path.unlink()
        raise
    return file, mapped


def _remove(process: int, file: int, path: Path) -> None:
    if os.getpid() == process:  # not in a forked child, whose parent still uses it
        path.unlink(missing_ok=True)
        os.close(file)


def exists(name: str) -> bool:
    """Whether there is a region of that name on this machine."""
    return (FOLDER / name).exists()


def left_behind() -> Iterator[str]:
    """Removes the regions of processes that have ended without doing so; their names."""
    for path in FOLDER.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # in use, another user's, or gone meanwhile
            file = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                if os.fstat(file).st_uid != os.geteuid() or not stat.S_ISREG(os.fstat(file).st_mode):
                    continue
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
                yield path.name
            finally:
                os.close(file)
