"""What became of a fault: calls by how they ended, and whether what was promised was kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bench.table import figure
from chaos.load import ANSWERED


@dataclass(frozen=True)
class Promise:
    """What must hold, what was seen, and whether it holds; `timed` on a machine that does nothing else."""

    what: str
    seen: str
    kept: bool
    timed: bool = False

    @classmethod
    def at_most(cls, what: str, value: float, bound: float, unit: str = "ms") -> Promise:
        """That a figure stays within a bound."""
        return cls(f"{what} ≤ {figure(bound)} {unit}", f"{figure(value)} {unit}", value <= bound, unit == "ms")

    @classmethod
    def none(cls, what: str, count: int) -> Promise:
        """That something never happens."""
        return cls(what, str(count), count == 0)


@dataclass(frozen=True)
class Trial:
    """A fault, what was done, and how calls ended meanwhile.

    `ended` has their number by how they ended, `expected` the errors that such a fault may cause; `lost` is how many
    calls never ended. `recovery_ms` is None where nothing was interrupted.
    """

    name: str
    done: str
    ended: Mapping[str, int]
    expected: tuple[str, ...]
    lost: int
    recovery_ms: float | None
    promises: tuple[Promise, ...]

    @property
    def calls(self) -> int:
        """All of them."""
        return sum(self.ended.values()) + self.lost

    @property
    def answered(self) -> int:
        """Those that were answered, and rightly."""
        return self.ended.get(ANSWERED, 0)

    @property
    def refused(self) -> dict[str, int]:
        """Those that ended with an error that such a fault may cause."""
        return {how: count for how, count in self.ended.items() if how in self.expected}

    @property
    def failed(self) -> dict[str, int]:
        """Those that ended otherwise."""
        return {how: count for how, count in self.ended.items() if how not in (ANSWERED, *self.expected)}

    @property
    def broken(self) -> tuple[Promise, ...]:
        """The promises that weren't kept; no call may fail or be lost, whatever the fault."""
        usual = (Promise.none("calls that fail", sum(self.failed.values())), Promise.none("calls lost", self.lost))
        return tuple(promise for promise in (*usual, *self.promises) if not promise.kept)

    @property
    def survived(self) -> bool:
        """Whether all promises were kept."""
        return not self.broken
