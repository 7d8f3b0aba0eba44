"""The parts of a batch, done side by side by threads that a model's process keeps, one for each core.

The backends are mounted and copied alone; this module is put beside their model.py.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, TypeVar

Part = TypeVar("Part")

_CORES = len(os.sched_getaffinity(0))


class SideBySide:
    """Threads, as many as the process may use cores, for whoever has several things to do at once."""

    def __init__(self, name: str) -> None:
        self._threads = ThreadPoolExecutor(_CORES, name)

    def map(self, work: Callable[[Part], Any], parts: Sequence[Part]) -> list[Any]:
        """What `work` makes of each part, in their order; an error that it raised, once no thread is at work any more.

        A thread takes one part after another, since to be given each of them, and to say that it is done, takes as long
        as a hundredth of a picture. A lone part stays in the caller's.
        """
        if len(parts) == 1:
            return [work(parts[0])]
        made: list[Any] = [None] * len(parts)
        left = iter(enumerate(parts))  # whose next one only one thread gets, thanks to Python's lock

        def take() -> None:
            for place, part in left:
                made[place] = work(part)

        shares = [self._threads.submit(take) for _ in range(min(_CORES, len(parts)))]
        wait(shares)
        for share in shares:
            share.result()
        return made
