"""From single requests to figures: nothing rounded, nothing estimated from a histogram."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

#: Requests that a process may have under way in an open loop ...
IN_FLIGHT_LIMIT = 512
#: ... and the error of one that was due beyond that, and not sent.
NOT_SENT = "NotSent"


class Sample(NamedTuple):
    """One request, its times in seconds on `time.perf_counter`, which the processes of a machine share.

    It begins when it is sent; in an open loop when it was due, and `late_s` after that it was sent. `size` is the
    index of its largest picture's size class, `error` the class of the error if it failed.
    """

    begin_s: float
    end_s: float
    size: int = 0
    error: str | None = None
    late_s: float = 0.0

    @property
    def latency_ms(self) -> float:
        """From its begin to its end."""
        return 1000 * (self.end_s - self.begin_s)


@dataclass(frozen=True)
class Window:
    """A stretch of time in a load.

    `samples` are the requests that are counted in it: in a closed loop those that ended in it, in an open loop those
    that were due in it. `ended` are those that ended in it, in order; `anchor_s` is the end of the last request before
    them, or the start of the load if there was none.
    """

    samples: Sequence[Sample]
    ended: Sequence[Sample]
    anchor_s: float

    @property
    def requests_per_s(self) -> float:
        """Answered requests a second, from completion to completion.

        The time is that from the last completion before the window to the last one in it, so that a window
        which is short against the latency isn't biased by the parts of requests at its ends. Counting from
        the first completion in the window would be: users who started together are answered together, and
        the whole group but one would count without the time it took.
        """
        if not self.ended:
            return 0.0
        return len(answered(self.ended)) / (self.ended[-1].end_s - self.anchor_s)


@dataclass(frozen=True)
class Latency:
    """Of the answered requests, in milliseconds, seen from the client."""

    avg: float
    p50: float
    p90: float
    p95: float
    p99: float
    max: float


def window(samples: Iterable[Sample], load_start_s: float, begin_s: float, end_s: float, *, by_due: bool) -> Window:
    """Cut what happened after `begin_s` and up to `end_s` out of all since the load began.

    `by_due` counts requests where they were due (an open loop), not where they ended.
    """
    ordered = sorted(samples, key=lambda sample: sample.end_s)
    before = [sample.end_s for sample in ordered if sample.end_s <= begin_s]
    ended = [sample for sample in ordered if begin_s < sample.end_s <= end_s]
    due = [sample for sample in ordered if begin_s < sample.begin_s <= end_s] if by_due else ended
    return Window(due, ended, before[-1] if before else load_start_s)


def answered(samples: Iterable[Sample]) -> list[Sample]:
    """Those that didn't fail."""
    return [sample for sample in samples if sample.error is None]


def latency(samples: Iterable[Sample]) -> Latency | None:
    """None if no request was answered.

    Percentiles are by nearest rank (numpy's `inverted_cdf`): each is the latency of a request that was
    made, the smallest that at least so many per cent of the requests didn't exceed.
    """
    taken = [sample.latency_ms for sample in answered(samples)]
    if not taken:
        return None
    p50, p90, p95, p99 = percentiles(taken, (50, 90, 95, 99))
    return Latency(avg=float(np.mean(taken)), p50=p50, p90=p90, p95=p95, p99=p99, max=max(taken))


def percentiles(values: Sequence[float], at: Sequence[float]) -> tuple[float, ...]:
    """By nearest rank: each is one of the values; none if there are none."""
    return tuple(map(float, np.percentile(values, at, method="inverted_cdf"))) if values else ()


def failure_kinds(samples: Iterable[Sample]) -> Mapping[str, int]:
    """How many requests failed with each class of error."""
    return dict(Counter(sample.error for sample in samples if sample.error is not None))
