"""How much memory a process and all that it starts take together."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psutil

#: Between two looks: short beside the seconds for which large arrays live.
_INTERVAL_S = 0.05


@dataclass
class Peak:
    """Bytes; 0 until the first look."""

    nbytes: int = 0


@contextlib.contextmanager
def peak_memory(pid: int) -> Iterator[Peak]:
    """The largest sum, so far, of the resident memory of the process and its descendants.

    Pages that they share count for each of them, so it is an upper bound.
    """
    peak = Peak()

    def look() -> None:
        peak.nbytes = max(peak.nbytes, resident(pid))

    with looking(look, _INTERVAL_S):
        yield peak


@contextlib.contextmanager
def looking(look: Callable[[], None], every_s: float) -> Iterator[None]:
    """Look again and again, in a thread, until the `with` block ends."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(every_s):
            look()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def resident(pid: int) -> int:
    """Bytes of physical memory that the process and its descendants have now; 0 when it has ended."""
    return sum(_of_one(process) for process in tree(pid))


def proportional(pid: int) -> int:
    """The same, with what several of them share divided among them (Linux's PSS): what the machine has to have."""
    total = 0
    for process in tree(pid):
        with contextlib.suppress(psutil.Error):
            total += process.memory_full_info().pss
    return total


def tree(pid: int) -> list[psutil.Process]:
    """The process and its descendants; empty when it has ended."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.Error:
        return []


def _of_one(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:  # it has ended meanwhile
        return 0
