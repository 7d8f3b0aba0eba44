"""A Triton that is a queue as textbooks have it, in a process of its own: so many servers, known service times.

    python -m tests.wire.queueing CAPACITY SERVICE_S DISTRIBUTION STALL_AT_S

prints its HOST:PORT and serves until its standard input ends. Each request gets the first server that becomes free.
The queue is kept in numbers, not in threads: a request that comes in is told when its answer is due, so that the
machine's own delays don't add up. `STALL_AT_S` seconds after the first request nothing is begun for one second.
"""

from __future__ import annotations

import heapq
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tests.wire.slow_servicer import SlowServicer, serving

STALL_S = 1.0
_ROOT = Path(__file__).parents[2]
_NEVER_S = 1e9


def service_times(service_s: float, distribution: str) -> Iterator[float]:
    """Service times in the order of the requests: always the same ones of a distribution."""
    random = np.random.default_rng(7)
    while True:
        yield {
            "constant": lambda: service_s,
            "exponential": lambda: float(random.exponential(service_s)),
            "normal": lambda: max(0.0, float(random.normal(service_s, service_s / 5))),
        }[distribution]()


class Queue:
    """First come, first served by so many servers."""

    def __init__(self, capacity: int, times_s: Iterator[float], stall_at_s: float = _NEVER_S) -> None:
        self._free_s = [0.0] * capacity
        self._times_s = times_s
        self._stall_at_s = stall_at_s
        self._first_s: float | None = None

    def answered_s(self, now_s: float) -> float:
        """When the request that comes in now is answered."""
        self._first_s = now_s if self._first_s is None else self._first_s
        begin_s = max(now_s, heapq.heappop(self._free_s))
        stall_s = self._first_s + self._stall_at_s
        if stall_s <= begin_s < stall_s + STALL_S:
            begin_s = stall_s + STALL_S
        end_s = begin_s + next(self._times_s)
        heapq.heappush(self._free_s, end_s)
        return end_s


def predicted_ms(due_s: Iterable[float], queue: Queue) -> Sequence[float]:
    """Latencies of requests that come in at these times."""
    return [1000 * (queue.answered_s(each) - each) for each in due_s]


class QueueingServicer(SlowServicer):
    """Answers when its queue says."""

    def __init__(self, queue: Queue) -> None:
        super().__init__()
        self._queue = queue
        self._in_turn = threading.Lock()

    def _service_s(self) -> float:
        with self._in_turn:
            now_s = time.perf_counter()
            return max(0.0, self._queue.answered_s(now_s) - now_s)


@contextmanager
def queueing(
    capacity: int, service_s: float, distribution: str = "constant", stall_at_s: float = _NEVER_S
) -> Iterator[str]:
    """The server's HOST:PORT within the block."""
    arguments = [str(each) for each in (capacity, service_s, distribution, stall_at_s)]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.wire.queueing", *arguments],
        cwd=_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout
        yield process.stdout.readline().strip()
        process.communicate("")


def main() -> None:
    capacity, service_s, distribution, stall_at_s = sys.argv[1:]
    queue = Queue(int(capacity), service_times(float(service_s), distribution), float(stall_at_s))
    with serving(QueueingServicer(queue), threads=400) as url:
        print(url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
