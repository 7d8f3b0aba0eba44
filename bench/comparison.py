"""Two ways of doing the same, measured in turn, so that a machine's moods strike both."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Work = Callable[[], object]


@dataclass(frozen=True)
class Comparison:
    """Seconds that each round of ours and of theirs took for one piece of work, in the order of the rounds.

    The bound is hoped for: at most so much of their time, or at least so many times their speed; 0 if nothing is.
    """

    name: str
    other: str
    ours_s: tuple[float, ...]
    theirs_s: tuple[float, ...]
    at: Literal["most", "least"]
    bound: float

    @property
    def ratios(self) -> list[float]:
        """One for each round: of times, ours / theirs, and of speeds the other way round."""
        pairs = zip(self.ours_s, self.theirs_s, strict=True)
        return [ours / theirs if self.at == "most" else theirs / ours for ours, theirs in pairs]

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios."""
        return statistics.median(self.ratios)

    @property
    def met(self) -> bool:
        """Whether the ratio is what was hoped for."""
        return self.ratio <= self.bound if self.at == "most" else self.ratio >= self.bound


def in_turns(rounds: int, *sides: Callable[[], float]) -> list[tuple[float, ...]]:
    """What each side measures in each round, by sides; every other round they come in reverse."""
    taken: list[list[float]] = [[] for _ in sides]
    for number in range(rounds):
        both = list(zip(taken, sides, strict=True))
        for each, side in both if number % 2 == 0 else reversed(both):
            each.append(side())
    return [tuple(each) for each in taken]


@dataclass(frozen=True)
class Measure:
    """How long: so many rounds, each of so many pieces of work by each side."""

    rounds: int
    pieces: int

    def seconds(self, ours: Work, theirs: Work) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Seconds that a piece of work took ours and theirs in each round; who begins changes with each round."""
        taken: dict[bool, list[float]] = {True: [], False: []}
        for work in (ours, theirs):
            work()
        for number in range(self.rounds):
            for mine in (number % 2 == 0, number % 2 != 0):
                taken[mine].append(self._seconds(ours if mine else theirs))
        return tuple(taken[True]), tuple(taken[False])

    def _seconds(self, work: Work) -> float:
        begin_s = time.perf_counter()
        for _ in range(self.pieces):
            work()
        return (time.perf_counter() - begin_s) / self.pieces
