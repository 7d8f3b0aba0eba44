"""How long a cell is measured: windows until three agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

#: So many windows must agree, and their requests are the cell's figures.
AGREEING = 3
#: They agree if the largest is at most so many times the smallest, in images/s and in average latency.
MOST_APART = 1.10

#: A window is prolonged until it has so many requests, and so many a user, on average ...
_MIN_REQUESTS = 10
_MIN_REQUESTS_PER_USER = 3
#: ... but not beyond so many times its duration.
_LONGEST_IN_DURATIONS = 6


@dataclass(frozen=True)
class Timing:
    """Seconds of load before the first window and of a window, and how many windows there may be.

    `open_requests` is how many requests a window of an open loop must have.
    """

    warm_up_s: float
    duration_s: float
    max_windows: int = 10
    open_requests: int = 30

    @property
    def expected_s(self) -> float:
        """What a cell takes unless the model is slow or its figures are restless."""
        return self.warm_up_s + AGREEING * self.duration_s

    def longest_window_s(self, timeout_s: float) -> float:
        """The bound for slow models. It exceeds the requests' timeout, so that every window sees one end."""
        return max(_LONGEST_IN_DURATIONS * self.duration_s, 1.5 * timeout_s)

    def enough(self, users: int | None) -> int:
        """How many requests a window must have; `users` is None in an open loop."""
        return self.open_requests if users is None else max(_MIN_REQUESTS, _MIN_REQUESTS_PER_USER * users)


def stable(images_per_s: Sequence[float], latency_ms: Sequence[float | None]) -> bool:
    """True if the last three windows agree."""
    return _agree(images_per_s[-AGREEING:]) and _agree(latency_ms[-AGREEING:])


def _agree(values: Sequence[float | None]) -> bool:
    known = [value for value in values if value]
    return len(known) == AGREEING and max(known) <= MOST_APART * min(known)
