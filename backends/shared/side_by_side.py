"""The parts of a batch, done side by side by threads that a model's process keeps, one for each core.

The backends are mounted and copied alone; this module is put beside their model.py.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

Part = TypeVar("Part")

#: That the process may use.
CORES = len(os.sched_getaffinity(0))


class SideBySide:
    """Threads for whoever has several things to do at once; `name` is theirs."""

    def __init__(self, name: str, threads: int = CORES) -> None:
        self._count = threads
        self._threads = ThreadPoolExecutor(threads, name)

    def map(self, work: Callable[[Part], Any], parts: list[Part]) -> list[Any]:
        """What `work` makes of each part, in their order; a lone part is done in the caller's thread.

        Each thread takes the next part when it has done one: to hand over every part, and to report it, would take a
        hundredth of what a picture does. An error of `work` is raised when no thread is at work any more.
        """
        if len(parts) == 1:
            return [work(parts[0])]
        made: list[Any] = [None] * len(parts)
        left = iter(enumerate(parts))  # a list's next part goes to one thread only, thanks to Python's lock

        def take() -> None:
            try:
                for place, part in left:
                    made[place] = work(part)
            finally:
                _leave(left)

        shares: list[Future[None]] = []
        try:
            shares.extend(self._threads.submit(take) for _ in range(min(self._count, len(parts))))
        finally:
            wait(shares)
            _leave(left)  # to a share that is begun later, because a thread couldn't be started for it
        for share in shares:
            share.result()
        return made


def _leave(left: Any) -> None:
    """Let nobody take another part."""
    for _ in left:
        pass
