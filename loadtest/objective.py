"""The highest rate that holds a latency objective, by doubling and bisection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from loadtest.arguments import Target
from loadtest.cell import Cell
from loadtest.load import Arrivals, Load
from loadtest.timing import AGREEING

#: The search ends when the rate that holds and the one that doesn't are so close.
RESOLUTION = 1.05
#: A server that breaks it at this share of the rate at which one user is served isn't asked for less: hardly any
#: request waits for another then.
LEAST_SHARE = 1 / 20
#: Rates that are tried at most.
MOST_PROBES = 16
#: A rate's windows have at least so many requests: the 99th percentile of three is then the third largest latency.
MIN_REQUESTS = 100
_ABOUT = 0.9


class Measure(Protocol):
    """Measures a load, or takes what is known of it unless it is to be measured `anew`."""

    def __call__(self, load: Load, *, anew: bool) -> Cell:
        """The cell."""


@dataclass(frozen=True)
class Found:
    """Requests a second: the highest that held (None: none did), the lowest tried that didn't (None: there is none)."""

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


def suffices(cell: Cell) -> bool:
    """True if a cell has about as many requests as the search would give it; of a closed loop the median is enough."""
    return cell.users is not None or cell.requests >= _ABOUT * AGREEING * MIN_REQUESTS


def _overwhelmed(cell: Cell) -> bool:
    return cell.rate_per_s is not None and cell.requests_per_s < _ABOUT * cell.rate_per_s


def search(target: Target, measure: Measure, arrivals: Arrivals = "constant") -> Found:
    """Try one user, then rates from half of what that one gets on, doubled until one breaks it, then halves between.

    A rate that breaks it is tried once more before it counts, unless far less than that was answered: one hiccup of a
    machine isn't what a server can do.
    One that breaks it because the generator was the limit bounds the search, too; its cell is marked.
    """
    alone = measure(Load(users=1), anew=False)
    if alone.latency_ms is None or alone.latency_ms.p50 > target.limit_ms:
        return Found(None, None)
    low: float | None = None
    high: float | None = None
    rate_per_s = alone.requests_per_s / 2
    lowest_per_s = alone.requests_per_s * LEAST_SHARE
    for _ in range(MOST_PROBES):
        if rate_per_s < lowest_per_s:
            break
        load = Load(rate_per_s=_rounded(rate_per_s), arrivals=arrivals)
        cell = measure(load, anew=False)
        if not holds(cell, target) and not _overwhelmed(cell):
            cell = measure(load, anew=True)
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
