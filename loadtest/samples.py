"""From single requests to figures: nothing rounded, nothing estimated from a histogram."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Sample:
    """One request: its end in seconds on `time.perf_counter`, how long it took, and the error's class if it failed."""

    end_s: float
    latency_ms: float
    error: str | None = None


@dataclass(frozen=True)
class Window:
    """The requests that ended within the measured time, in order.

    `anchor_s` is the end of the last request before them, or the start of the load if there was none.
    """

    samples: Sequence[Sample]
    anchor_s: float


@dataclass(frozen=True)
class Latency:
    """Of the answered requests, in milliseconds, seen from the client."""

    avg: float
    p50: float
    p90: float
    p95: float
    p99: float
    max: float


def window(samples: Iterable[Sample], load_start_s: float, begin_s: float, end_s: float) -> Window:
    """Cut the samples that ended after `begin_s` and up to `end_s` out of all since the load began."""
    ordered = sorted(samples, key=lambda sample: sample.end_s)
    before = [sample.end_s for sample in ordered if sample.end_s <= begin_s]
    inside = [sample for sample in ordered if begin_s < sample.end_s <= end_s]
    return Window(inside, before[-1] if before else load_start_s)


def requests_per_s(measured: Window) -> float:
    """Answered requests a second, from completion to completion.

    The time is that from the last completion before the window to the last one in it, so that a window
    which is short against the latency isn't biased by the parts of requests at its ends. Counting from
    the first completion in the window would be: users who started together are answered together, and
    the whole group but one would count without the time it took.
    """
    if not measured.samples:
        return 0.0
    return len(_answered(measured)) / (measured.samples[-1].end_s - measured.anchor_s)


def latency(measured: Window) -> Latency | None:
    """None if no request was answered.

    Percentiles are by nearest rank (numpy's `inverted_cdf`): each is the latency of a request that was
    made, the smallest that at least so many per cent of the requests didn't exceed.
    """
    taken = [sample.latency_ms for sample in _answered(measured)]
    if not taken:
        return None
    p50, p90, p95, p99 = map(float, np.percentile(taken, (50, 90, 95, 99), method="inverted_cdf"))
    return Latency(avg=float(np.mean(taken)), p50=p50, p90=p90, p95=p95, p99=p99, max=max(taken))


def failure_kinds(measured: Window) -> Mapping[str, int]:
    """How many requests failed with each class of error."""
    return dict(Counter(sample.error for sample in measured.samples if sample.error is not None))


def _answered(measured: Window) -> list[Sample]:
    return [sample for sample in measured.samples if sample.error is None]
