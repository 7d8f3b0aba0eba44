"""What models did between two readings of a server's statistics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tritonclas.results import ModelStatistics

#: A model's counters by its name and version.
Counters = Mapping[tuple[str, str], ModelStatistics]

_COUNTS = ("inferences", "executions", "successes", "failures")
_TIMES = ("success_s", "queue_s", "compute_input_s", "compute_infer_s", "compute_output_s")


@dataclass(frozen=True, kw_only=True)
class Growth:
    """What one model did in an interval: how much a second, and means of a request in milliseconds.

    `requests_per_s` are those that were answered. Means, and the images that were computed at once, are None where
    nothing was done.
    """

    name: str
    version: str
    requests_per_s: float
    images_per_s: float
    failures_per_s: float
    images_at_once: float | None
    total_ms: float | None
    queue_ms: float | None
    compute_input_ms: float | None
    compute_infer_ms: float | None
    compute_output_ms: float | None


def growth(
    before: ModelStatistics | None, after: ModelStatistics, seconds: float, *, is_ensemble: bool = False
) -> Growth:
    """What a model did in so many seconds. One that is new, or was started anew, began with nothing.

    Triton (24.10) counts each failed request of an ensemble twice, which is taken back here.
    """
    grown = _grown(before, after)
    times = {f"{name.removesuffix('_s')}_ms": _mean(1000 * grown[name], grown["successes"]) for name in _TIMES}
    total_ms = times.pop("success_ms")
    return Growth(
        name=after.name,
        version=after.version,
        requests_per_s=grown["successes"] / seconds,
        images_per_s=grown["inferences"] / seconds,
        failures_per_s=grown["failures"] / (2 if is_ensemble else 1) / seconds,
        images_at_once=None if is_ensemble else _mean(grown["inferences"], grown["executions"]),
        total_ms=total_ms,
        **times,
    )


def _grown(before: ModelStatistics | None, after: ModelStatistics) -> dict[str, float]:
    """By how much each counter grew; a counter that is smaller than before began anew, and all others with it."""
    now = {name: float(getattr(after, name)) for name in (*_COUNTS, *_TIMES)}
    then = {name: float(getattr(before, name)) for name in now} if before else dict.fromkeys(now, 0.0)
    if any(now[name] < then[name] for name in _COUNTS):
        return now
    return {name: max(0.0, now[name] - then[name]) for name in now}


def _mean(total: float, count: float) -> float | None:
    return total / count if count else None
