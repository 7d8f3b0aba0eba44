"""The highest rate that holds a latency objective, by doubling and bisection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from loadtest.arguments import Target
from loadtest.cell import Cell
from loadtest.load import Arrivals, Load

#: The search ends when the rate that holds and the one that doesn't are so close.
RESOLUTION = 1.05
#: Rates that are tried at most.
MOST_PROBES = 16
#: A rate's windows have at least so many requests: the 99th percentile of three is then the third largest latency.
MIN_REQUESTS = 100

Measure = Callable[[Load], Cell]


@dataclass(frozen=True)
class Found:
    """Requests a second: the highest that held (None: none did), the lowest that didn't (None: all held)."""

    holds_per_s: float | None
    broken_per_s: float | None


def holds(cell: Cell, target: Target) -> bool:
    """True if every request was answered, as fast as they were due, and within the objective."""
    taken = cell.latency_ms
    return (
        taken is not None
        and not cell.failures
        and not cell.saturated
        and getattr(taken, target.quantile) <= target.limit_ms
    )


def search(target: Target, measure: Measure, arrivals: Arrivals = "constant") -> Found:
    """Try one user, then rates from half of what that one gets on, doubled until one breaks it, then halves between.

    A rate that breaks it because the generator was the limit ends the search, too; its cell is marked.
    """
    alone = measure(Load(users=1))
    if alone.latency_ms is None or getattr(alone.latency_ms, target.quantile) > target.limit_ms:
        return Found(None, alone.requests_per_s or None)
    low: float | None = None
    high: float | None = None
    rate_per_s = alone.requests_per_s / 2
    for _ in range(MOST_PROBES):
        cell = measure(Load(rate_per_s=_rounded(rate_per_s), arrivals=arrivals))
        if holds(cell, target):
            low = cell.rate_per_s
        else:
            high = cell.rate_per_s
        if low and high and high <= RESOLUTION * low:
            break
        rate_per_s = _next(low, high)
    return Found(low, high)


def _next(low: float | None, high: float | None) -> float:
    if high is None:
        return 2 * (low or 0)
    return high / 2 if low is None else (low + high) / 2


def _rounded(rate_per_s: float) -> float:
    """Three digits: nobody asks for 83.43177 requests a second."""
    return float(f"{rate_per_s:.3g}")
