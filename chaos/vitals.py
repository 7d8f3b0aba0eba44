"""What a process and all that it has started take, and whether that grows."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import psutil

from scripts.zoo.memory import looking, tree


@dataclass(frozen=True)
class Vitals:
    """At a time in seconds: bytes of memory that no other process can share (Linux's RssAnon), and open descriptors.

    What is shared, such as libraries, also depends on what other processes do.
    """

    at_s: float
    memory: int
    descriptors: int


def vitals(pid: int, *, alone: bool = False) -> Vitals:
    """Of the process now, and unless `alone` of its descendants."""
    memory = descriptors = 0
    for process in tree(pid)[: 1 if alone else None]:
        with contextlib.suppress(psutil.Error):  # it has ended meanwhile
            resident = process.memory_info()
            descriptors += process.num_fds()
            memory += resident.rss - resident.shared
    return Vitals(time.monotonic(), memory, descriptors)


@contextlib.contextmanager
def watched(pid: int, every_s: float, *, alone: bool = False) -> Iterator[list[Vitals]]:
    """The list that is filled until the `with` block ends."""
    found: list[Vitals] = []
    with looking(lambda: found.append(vitals(pid, alone=alone)), every_s):
        yield found


def growth_per_min(seen: Sequence[Vitals]) -> float:
    """Bytes of memory a minute: the slope of the straight line that fits best; 0 if there are fewer than two points."""
    if len(seen) < 2:
        return 0.0
    return 60 * statistics.linear_regression([each.at_s for each in seen], [each.memory for each in seen]).slope
