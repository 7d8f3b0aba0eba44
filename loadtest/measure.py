"""One cell: so many users on one workload, a warm-up that isn't counted, then a measured window."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import gevent
from locust.env import Environment

from loadtest.samples import Sample, Window, window
from loadtest.users import ClassifierUser
from loadtest.workload import Workload

#: A cell's window is prolonged until its users have got this many answers each on average ...
MIN_REQUESTS_PER_USER = 10
#: ... but not beyond so many times its duration.
_LONGEST_IN_DURATIONS = 6

_POLL_S = 0.02


@dataclass(frozen=True)
class Timing:
    """Seconds: of load before the window, and of the window itself."""

    warm_up_s: float
    duration_s: float

    @property
    def expected_s(self) -> float:
        """What a cell takes unless the model is slow."""
        return self.warm_up_s + self.duration_s

    def longest_window_s(self, timeout_s: float) -> float:
        """The bound for slow models. It exceeds the requests' timeout, so that every window sees one end."""
        return max(_LONGEST_IN_DURATIONS * self.duration_s, 1.5 * timeout_s)


@dataclass(frozen=True)
class Measurement:
    """The window's requests, and how busy this process was meanwhile: 100 per cent are one core."""

    window: Window
    generator_cpu_percent: float


@dataclass
class _Recorder:
    """Keeps every request that Locust reports, as it is."""

    samples: list[Sample] = field(default_factory=list)

    def __call__(self, response_time: float, exception: Exception | None, **_: Any) -> None:
        error = None if exception is None else type(exception).__name__
        self.samples.append(Sample(time.perf_counter(), response_time, error))


Tick = Callable[[], None]


def measure(workload: Workload, users: int, timing: Timing, tick: Tick = lambda: None) -> Measurement:
    """Run a closed loop of `users` and return what its window saw; `tick` is called all the while.

    The warm-up lasts until as many requests have ended as there are users, also where that takes longer.
    At the end the requests under way are awaited, so that the server is idle when the next cell begins;
    after an interruption they are given up.
    """
    recorder = _Recorder()
    start_s = time.perf_counter()
    longest_s = timing.longest_window_s(workload.timeout_s)
    with _load(workload, users, recorder):
        _wait(timing.warm_up_s, lambda: len(recorder.samples) >= users, longest_s, tick)
        begin_s, begin_cpu_s = time.perf_counter(), time.process_time()
        wanted = len(recorder.samples) + MIN_REQUESTS_PER_USER * users
        _wait(timing.duration_s, lambda: len(recorder.samples) >= wanted, longest_s, tick)
        end_s, end_cpu_s = time.perf_counter(), time.process_time()
        seen = window(recorder.samples, start_s, begin_s, end_s)
    return Measurement(seen, 100 * (end_cpu_s - begin_cpu_s) / (end_s - begin_s))


def _wait(at_least_s: float, enough: Callable[[], bool], at_most_s: float, tick: Tick) -> None:
    begin_s = time.perf_counter()
    while (passed_s := time.perf_counter() - begin_s) < at_most_s:
        if passed_s >= at_least_s and enough():
            return
        gevent.sleep(_POLL_S)
        tick()


@contextmanager
def _load(workload: Workload, users: int, recorder: _Recorder) -> Iterator[None]:
    """Users at work within the block, and none after it."""
    user_class = type("CellUser", (ClassifierUser,), {"workload": workload})
    environment = Environment(user_classes=[user_class], stop_timeout=workload.timeout_s)
    environment.events.request.add_listener(recorder)
    runner = environment.create_local_runner()
    try:
        runner.start(users, spawn_rate=users)
        yield
    except BaseException:
        environment.stop_timeout = 0
        raise
    finally:
        runner.quit()
