"""How long a download waits, and how slow it may be."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from scripts.downloads.http_answers import Passing


@dataclass(frozen=True)
class Patience:
    """How much is put up with. Times are in seconds.

    A server that nobody has reached in this run gets `attempts_unanswered` only: on a machine without a way to it,
    synthetic weights shouldn't be waited for. A server that asks for more than `longest_wait_s` isn't waited for
    either. Less than `slow_bytes_per_s` over `slow_period_s` counts as a broken connection: the smallest archive
    takes 40 minutes at that speed, and single bytes for ever would pass every timeout.
    """

    attempts: int = 5
    attempts_unanswered: int = 2
    first_wait_s: float = 1.0
    longest_wait_s: float = 30.0
    connect_s: float = 10.0
    stall_s: float = 30.0
    slow_bytes_per_s: float = 8192.0
    slow_period_s: float = 60.0


class Pace:
    """Watches that a transfer isn't slower than it may be."""

    def __init__(self, patience: Patience, clock: Callable[[], float] = time.monotonic) -> None:
        self.patience, self.clock = patience, clock
        self.began, self.received = clock(), 0

    def add(self, received: int) -> None:
        """Count bytes. Passing if too few came in the period that they complete."""
        self.received += received
        passed = self.clock() - self.began
        if passed < self.patience.slow_period_s:
            return
        if self.received < self.patience.slow_bytes_per_s * passed:
            raise Passing(f"it came too slowly, {self.received / passed:.0f} bytes a second")
        self.began, self.received = self.clock(), 0
