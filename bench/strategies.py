"""Ways of using all cores with ONNX Runtime in one process; which is best depends on the network, so it is tried."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Strategy:
    """`workers` threads, who run batches of `batch` images in sessions of `threads` threads.

    Each has a session of its own (`own`), or all have one. A session's threads may spin while they wait. The graph is
    ONNX Runtime's, or that which the CPU backend makes of it (`rewritten`), for one image at a time.
    """

    workers: int
    threads: int
    batch: int = 1
    own: bool = False
    spinning: bool = False
    rewritten: bool = False

    def __str__(self) -> str:
        return f"{self._sessions}, batch {self.batch}{', our graph' * self.rewritten}"

    @property
    def _sessions(self) -> str:
        threads = f"{self.threads} thread{'s' * (self.threads > 1)}{' that spin' * self.spinning}"
        if self.workers == 1:
            return f"a session of {threads}"
        sessions = f"{self.workers} sessions" if self.own else "one session"
        return f"{sessions} of {threads}, {self.workers} runs at a time"


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0))


def throughput(number: int) -> list[Strategy]:
    """For as many images a second as possible on so many cores."""
    return [
        *(Strategy(number, 1, batch, own) for batch in (1, 8) for own in (True, False)),
        *(Strategy(1, number, batch, spinning=spinning) for batch in (1, 8) for spinning in (True, False)),
        Strategy(2, number, 8),
    ]


def latency(number: int) -> list[Strategy]:
    """For one image at a time."""
    return [Strategy(1, 1), *(Strategy(1, number, spinning=spinning) for spinning in (True, False))]


def rewritten(strategies: Sequence[Strategy]) -> list[Strategy]:
    """Those of one image at a time, with the CPU backend's graph."""
    return [replace(each, rewritten=True) for each in strategies if each.batch == 1]


def best(strategies: Sequence[Strategy], image_s: Callable[[Strategy], float]) -> Strategy:
    """The one with the fewest seconds an image. Each is tried twice, and its better time counts."""
    tried = [(image_s(each), each) for _ in range(2) for each in strategies]
    return min(tried, key=lambda pair: pair[0])[1]
