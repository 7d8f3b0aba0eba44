"""One cell: a load on one workload, a warm-up that isn't counted, then windows until three agree."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from loadtest.fleet import Fleet, Told
from loadtest.load import Load
from loadtest.samples import NOT_SENT, Sample, Window, answered, latency, window
from loadtest.serverview import ServerView, Snapshot
from loadtest.timing import AGREEING, Timing, stable
from loadtest.workload import Workload

_LISTEN_S = 0.1

#: An open loop is saturated if more of its requests than this share, and more than so many, are left unanswered ...
_LEFT_OVER = 0.02
_FEW = 4
#: ... and more than random arrivals leave by chance: so many standard deviations of their number.
_CHANCE = 3.0

Tick = Callable[[], None]


@dataclass(frozen=True)
class Measurement:
    """A load's requests, and the points in time between its windows with the server's counters at each."""

    workload: Workload
    load: Load
    start_s: float
    samples: Sequence[Sample]
    boundaries: Sequence[Snapshot]
    told: Sequence[Told]

    @cached_property
    def windows(self) -> list[Window]:
        """All windows, in order."""
        times = [each.at_s for each in self.boundaries]
        return [self._cut(begin_s, end_s) for begin_s, end_s in pairwise(times)]

    @property
    def counted(self) -> tuple[Snapshot, Snapshot]:
        """Where that begins and ends which the figures are of: the last three windows."""
        return self.boundaries[max(0, len(self.boundaries) - 1 - AGREEING)], self.boundaries[-1]

    @cached_property
    def whole(self) -> Window:
        """The last three windows as one."""
        begin, end = self.counted
        return self._cut(begin.at_s, end.at_s)

    def _cut(self, begin_s: float, end_s: float) -> Window:
        return window(self.samples, self.start_s, begin_s, end_s, by_due=self.load.users is None)


def measure(  # noqa: PLR0917
    fleet: Fleet, workload: Workload, load: Load, timing: Timing, server: ServerView, tick: Tick = lambda: None
) -> Measurement:
    """Make the load and return what its windows saw; `tick` is called all the while.

    The warm-up lasts until as many requests have ended as there are users, also where that takes longer.
    At the end the requests under way are awaited, so that the server is idle when the next cell begins;
    after an interruption they are given up.
    """
    with _running(fleet, workload, load) as start_s:
        cell = _Cell(fleet, workload, load, timing, server, tick, start_s)
        cell.warm_up()
        while not cell.done():
            cell.next_window()
    return cell.measurement()


@contextmanager
def _running(fleet: Fleet, workload: Workload, load: Load) -> Iterator[float]:
    """The load within the block, and none after it."""
    start_s = fleet.start(workload, load)
    try:
        yield start_s
    except BaseException:
        fleet.stop(workload.timeout_s, at_once=True)
        raise
    fleet.stop(workload.timeout_s)


@dataclass
class _Cell:
    fleet: Fleet
    workload: Workload
    load: Load
    timing: Timing
    server: ServerView
    tick: Tick
    start_s: float

    def __post_init__(self) -> None:
        self.longest_s = self.timing.longest_window_s(self.workload.timeout_s)
        self.boundaries: list[Snapshot] = []

    def warm_up(self) -> None:
        self._wait(self.start_s, self.timing.warm_up_s, self.load.users or 1)
        self.boundaries.append(self.server.snapshot())

    def next_window(self) -> None:
        begin_s = self.boundaries[-1].at_s
        wanted = self.fleet.count + self.timing.enough(self.load.users)
        self._wait(begin_s, self.timing.duration_s, wanted)
        self.boundaries.append(self.server.snapshot())

    def done(self) -> bool:
        """True if the last three windows agree, or there is no use in another."""
        if len(self.boundaries) > 1 and self.fleet.count and not answered(self.fleet.samples):
            return True
        if len(self.boundaries) <= AGREEING:
            return False
        if len(self.boundaries) > self.timing.max_windows:
            return True
        settled = self._is_settled()
        measurement = self.measurement()
        if not answered(measurement.whole.ended):
            return True
        return is_saturated(measurement) or (settled and is_stable(measurement))

    def measurement(self) -> Measurement:
        return Measurement(
            self.workload, self.load, self.start_s, self.fleet.samples, self.boundaries, list(self.fleet.told)
        )

    def _is_settled(self) -> bool:
        """Wait, not for long, until what was due in the last window has ended."""
        end_s, patience_s = self.boundaries[-1].at_s, time.perf_counter() + self.timing.duration_s
        while self.fleet.settled_s < end_s and time.perf_counter() < patience_s:
            self._listen()
        return self.fleet.settled_s >= end_s

    def _wait(self, begin_s: float, at_least_s: float, count: int) -> None:
        while (passed_s := time.perf_counter() - begin_s) < self.longest_s:
            if passed_s >= at_least_s and self.fleet.count >= count:
                return
            self._listen(at_least_s - passed_s)

    def _listen(self, left_s: float = _LISTEN_S) -> None:
        self.fleet.listen(min(max(left_s, 0.001), _LISTEN_S))
        self.tick()


def is_stable(measurement: Measurement) -> bool:
    """True if the last three windows agree in throughput and in average latency."""
    return stable(*per_window(measurement))


def per_window(measurement: Measurement) -> tuple[list[float], list[float | None]]:
    """Images a second and average latency in milliseconds of each window."""
    windows = measurement.windows
    size = measurement.workload.batch_size
    averages = [latency(each.samples) for each in windows]
    return [each.requests_per_s * size for each in windows], [each.avg if each else None for each in averages]


def is_saturated(measurement: Measurement) -> bool:
    """True of an open loop whose server doesn't answer requests as fast as they are due."""
    rate_per_s = measurement.load.rate_per_s
    if rate_per_s is None:
        return False
    whole = measurement.whole
    if any(sample.error == NOT_SENT for sample in whole.ended):
        return True
    begin, end = measurement.counted
    due = rate_per_s * (end.at_s - begin.at_s)
    chance = _CHANCE * math.sqrt(due) if measurement.load.arrivals == "poisson" else 0.0
    return due - len(answered(whole.ended)) > max(_LEFT_OVER * due, _FEW, chance)
