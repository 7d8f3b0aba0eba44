"""Workers who do the same again and again, all at once, and how much of it is done in a second."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

Work = Callable[[], object]


@dataclass(frozen=True)
class Duration:
    """Seconds to warm up and to measure, and longer where fewer than `least` pieces of work are done in them."""

    warm_up_s: float
    measured_s: float
    least: int = 8


@dataclass(frozen=True)
class Pace:
    """Pieces of work a second, and what one took; the process's own processor time in all."""

    per_s: float
    p50_ms: float
    p99_ms: float
    cpu_s: float


def pace(workers: Sequence[Work], duration: Duration) -> Pace:
    """Keep all workers busy, each in a thread of its own; what a worker raises is raised."""
    loop = _Loop(duration)
    begin_cpu_s = time.process_time()
    with ThreadPoolExecutor(len(workers)) as pool:
        for ended in [pool.submit(loop.work, work) for work in workers]:
            ended.result()
    cpu_s = time.process_time() - begin_cpu_s
    done = sorted(each for each in loop.done if each[0] <= loop.stopped_s)
    times_ms = sorted(1000 * took_s for _, took_s in done)
    p99_ms = times_ms[math.ceil(0.99 * len(times_ms)) - 1]
    return Pace(rate([ended_s for ended_s, _ in done], len(workers)), statistics.median(times_ms), p99_ms, cpu_s)


def rate(ends_s: Sequence[float], workers: int) -> float:
    """Pieces a second, of the times at which they ended, in order, while all workers were busy.

    It is counted from an end to an end, and by whole turns of all workers: where a piece takes as long as a second,
    pieces in a fixed time would be a coarse measure, and workers in step end all at once.
    """
    turns = (len(ends_s) - 1) // workers
    if turns < 1:
        raise ValueError(f"{len(ends_s)} pieces of work ended; {workers} workers need {workers + 1} at least")
    return turns * workers / (ends_s[turns * workers] - ends_s[0])


@dataclass
class _Loop:
    """Ends and times of the pieces that were done after the warm-up, until the first worker found that enough are."""

    duration: Duration
    done: list[tuple[float, float]] = field(default_factory=list)
    failed: bool = False
    stopped_s: float = math.inf

    def __post_init__(self) -> None:
        self._warm_s = time.perf_counter() + self.duration.warm_up_s

    def work(self, work: Work) -> None:
        try:
            while self.stopped_s == math.inf and not self.failed:
                begin_s = time.perf_counter()
                work()
                self._ended(begin_s, time.perf_counter())
        except BaseException:
            self.failed = True
            raise

    def _ended(self, begin_s: float, end_s: float) -> None:
        if end_s < self._warm_s or end_s > self.stopped_s:
            return
        self.done.append((end_s, end_s - begin_s))
        if end_s > self._warm_s + self.duration.measured_s and len(self.done) > self.duration.least:
            self.stopped_s = min(self.stopped_s, end_s)
