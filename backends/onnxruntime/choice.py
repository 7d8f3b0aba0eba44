"""Which of several ways of doing the same is the fastest, found out while they are used."""

from __future__ import annotations

from collections import deque

#: The median of so many times counts: one that something came between doesn't matter.
_COUNTED = 5
#: Another way is tried so often in a row, which is more than half of what counts,
_TRIES = 3
#: after so many uses, and after twice as many each time that nothing has changed. The first is soon, because a way that
#: is left in a bad moment keeps that moment's times until it is tried again.
_FIRST_RETRY, _LAST_RETRY = 10, 1600


class Choice:
    """Ways by number; the one that was fastest lately is the best."""

    def __init__(self, ways: int) -> None:
        self._times_s: list[deque[float]] = [deque(maxlen=_COUNTED) for _ in range(ways)]
        self._median_s = [0.0] * ways  # until it is known
        self._retry, self._until_retry, self._fastest = _FIRST_RETRY, _FIRST_RETRY, 0

    def best(self) -> int:
        """The way to use now: one that is hardly known, the fastest, or now and then another."""
        least_s = min(self._median_s)
        fastest = self._median_s.index(least_s)
        if not least_s:
            return fastest
        if fastest != self._fastest:
            self._fastest, self._retry = fastest, _FIRST_RETRY
            self._until_retry = self._retry
        self._until_retry -= 1
        if self._until_retry >= 0:
            return fastest
        if self._until_retry <= -_TRIES:
            self._retry = min(2 * self._retry, _LAST_RETRY)
            self._until_retry = self._retry
        return (fastest + 1) % len(self._median_s)

    def took(self, way: int, seconds: float) -> None:
        """What it took this time."""
        times_s = self._times_s[way]
        times_s.append(seconds)
        if len(times_s) == _COUNTED:
            self._median_s[way] = sorted(times_s)[_COUNTED // 2]
