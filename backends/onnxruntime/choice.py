"""Which of several ways of doing the same is the fastest, found out while they are used."""

from __future__ import annotations

import statistics
from collections import deque

#: The median of so many times counts: one that something came between doesn't matter.
_COUNTED = 5
#: Another way is tried so often in a row, which is more than half of what counts,
_TRIES = 3
#: after so many uses, and after twice as many each time that nothing has changed.
_FIRST_RETRY, _LAST_RETRY = 50, 1600


class Choice:
    """Ways by number; the one that was fastest lately is the best."""

    def __init__(self, ways: int) -> None:
        self._times_s: list[deque[float]] = [deque(maxlen=_COUNTED) for _ in range(ways)]
        self._retry, self._until_retry, self._fastest = _FIRST_RETRY, _FIRST_RETRY, 0

    def best(self) -> int:
        """The way to use now: one that is hardly known, the fastest, or now and then another."""
        for way, times_s in enumerate(self._times_s):
            if len(times_s) < _COUNTED:
                return way
        fastest = min(range(len(self._times_s)), key=lambda way: statistics.median(self._times_s[way]))
        if fastest != self._fastest:
            self._fastest, self._retry = fastest, _FIRST_RETRY
            self._until_retry = self._retry
        self._until_retry -= 1
        if self._until_retry >= 0:
            return fastest
        if self._until_retry <= -_TRIES:
            self._retry = min(2 * self._retry, _LAST_RETRY)
            self._until_retry = self._retry
        return (fastest + 1) % len(self._times_s)

    def took(self, way: int, seconds: float) -> None:
        """What it took this time."""
        self._times_s[way].append(seconds)
