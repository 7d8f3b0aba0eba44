"""What can't be done better on this machine, as the bench itself finds it: it stands beside aims that are missed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bench import floor, rows
from bench.comparison import Comparison
from bench.operators import IN_BOTH
from bench.table import Table

Part = Sequence[Comparison | Table]

#: The parts whose other side is one process, so that what Triton must spend limits them.
_BESIDE_ONE_PROCESS = ("throughput", "network", "latency")


class Limit(NamedTuple):
    """The best ratio, to two digits; of what; and who can't pass it."""

    ratio: float
    whose: str
    of: str = ""

    def beside(self, missed: Comparison) -> str:
        """What is said of it after a missed aim."""
        said = f" (bound {self.ratio:.2f}{self.of})"
        beyond = self.ratio > missed.bound if missed.at == "most" else self.ratio < missed.bound
        return f", which {self.whose} can meet here{said}" if beyond else said


def limit(part: str, of: Comparison, found: Mapping[str, Part]) -> Limit | None:
    """Of a comparison in a part of what was found; None if there isn't one."""
    tritons = _figure(found.get("floor", ()), of.name, floor.BOUND)
    if part in _BESIDE_ONE_PROCESS and tritons:
        return Limit(tritons, "no backends behind Triton")
    if part == "alternatives" and tritons and (ratio := _alone(found[part], of)):
        return Limit(round(tritons * ratio, 2), "no backends behind Triton with our graph")
    if part == "exports" and (ratio := _figure(found[part], of.name.split(",")[0], IN_BOTH)):
        return Limit(ratio, "no file that computes by these operators", " of the operators' time")
    return None


def _alone(part: Part, beside: Comparison) -> float | None:
    """One process without a server, beside the same other server."""
    comparisons = (each for each in part if isinstance(each, Comparison) and each.other == beside.other)
    name = rows.without_server(beside.name)
    return next((each.ratio for each in comparisons if each.name.startswith(name)), None)


def _figure(part: Part, name: str, column: int) -> float | None:
    """In the row of that name."""
    tables = (each for each in part if isinstance(each, Table))
    return next((float(row[column]) for table in tables for row in table.rows if row[0] == name), None)
