"""What is asked of a server: so many users, or so many requests a second."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

#: How the requests of an open loop are spread over time: evenly, or as those of many independent callers.
Arrivals = Literal["constant", "poisson"]
ARRIVALS: tuple[Arrivals, ...] = ("constant", "poisson")


@dataclass(frozen=True)
class Load:
    """A closed loop of `users`, or an open loop of `rate_per_s` requests a second; one of the two is None.

    `phase` is where in its first interval a constant rate begins, from 0 to 1: processes that share a rate
    take turns. `seed` makes random arrivals the same again.
    """

    users: int | None = None
    rate_per_s: float | None = None
    arrivals: Arrivals = "constant"
    phase: float = 0.0
    seed: int = 0

    def __str__(self) -> str:
        if self.users is not None:
            return f"{self.users} user{'s' * (self.users > 1)}"
        return f"{self.rate_per_s:g} requests/s{', poisson' if self.arrivals == 'poisson' else ''}"

    def due(self, begin_s: float) -> Iterator[float]:
        """When the requests of an open loop are due, without end, from `begin_s` on."""
        assert self.rate_per_s is not None
        if self.arrivals == "constant":
            number = 0
            while True:
                yield begin_s + (number + self.phase) / self.rate_per_s
                number += 1
        random = np.random.default_rng(self.seed)
        due_s = begin_s
        while True:
            due_s += float(random.exponential(1 / self.rate_per_s))
            yield due_s

    def shares(self, processes: int) -> list[Load]:
        """The same load as several processes make it together; fewer than asked for if there are fewer users."""
        if self.users is not None:
            several, left = divmod(self.users, processes)
            counts = [several + (number < left) for number in range(processes)]
            return [replace(self, users=count) for count in counts if count]
        assert self.rate_per_s is not None
        return [
            replace(self, rate_per_s=self.rate_per_s / processes, phase=number / processes, seed=self.seed + number)
            for number in range(processes)
        ]
