"""Which of several ways of doing the same is the fastest, found out while they are used."""

from __future__ import annotations

#: Of a new time in the average: the last ten or so count.
_WEIGHT = 0.1
#: Every so many uses another way gets its chance: a neighbour that took a core may have gone.
_RETRY = 64


class Choice:
    """Ways by number; the one that was fastest lately is the best."""

    def __init__(self, ways: int) -> None:
        self._average_s: list[float | None] = [None] * ways
        self._uses = 0

    def best(self) -> int:
        """The way to use now: one that was never tried, the fastest, or now and then the next in turn."""
        self._uses += 1
        if None in self._average_s:
            return self._average_s.index(None)
        if self._uses % _RETRY == 0:
            return self._uses // _RETRY % len(self._average_s)
        return min(range(len(self._average_s)), key=lambda way: self._average_s[way] or 0.0)

    def took(self, way: int, seconds: float) -> None:
        """What it took this time."""
        before = self._average_s[way]
        self._average_s[way] = seconds if before is None else before + _WEIGHT * (seconds - before)
