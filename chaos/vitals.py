"""What a process and all that it has started take, and whether that grows."""

from __future__ import annotations

import contextlib
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import psutil

from scripts.zoo.memory import proportional, tree


@dataclass(frozen=True)
class Vitals:
    """At a time in seconds: bytes of memory (Linux's PSS), and open file descriptors."""

    at_s: float
    memory: int
    descriptors: int


def vitals(pid: int) -> Vitals:
    """Of the process and its descendants, now."""
    descriptors = 0
    for process in tree(pid):
        with contextlib.suppress(psutil.Error):  # it has ended meanwhile
            descriptors += process.num_fds()
    return Vitals(time.monotonic(), proportional(pid), descriptors)


@contextlib.contextmanager
def watched(pid: int, every_s: float) -> Iterator[list[Vitals]]:
    """The list that is filled until the `with` block ends."""
    found: list[Vitals] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(every_s):
            found.append(vitals(pid))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield found
    finally:
        over.set()
        watcher.join()


def growth_per_min(seen: Sequence[Vitals]) -> float:
    """Bytes of memory a minute: the slope of the straight line that fits best; 0 if there are fewer than two points."""
    if len(seen) < 2:
        return 0.0
    return 60 * statistics.linear_regression([each.at_s for each in seen], [each.memory for each in seen]).slope
