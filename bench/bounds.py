"""What can't be done better on this machine, as the bench itself finds it: it stands beside aims that are missed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bench import rows
from bench.comparison import Comparison
from bench.operators import IN_BOTH
from bench.table import Table

Part = Sequence[Comparison | Table]

#: The parts whose other side is one process, so that what a server must spend bounds them.
_OF_SERVERS = ("throughput", "network", "latency")


class Bound(NamedTuple):
    """The best ratio, and who can't pass it."""

    ratio: float
    whose: str

    def beside(self, missed: Comparison) -> str:
        """What is said of it after a missed aim."""
        beyond = self.ratio > missed.bound if missed.at == "most" else self.ratio < missed.bound
        return f"{f', which {self.whose} can meet here' * beyond} (bound {self.ratio:.2f})"


def bound(part: str, of: Comparison, found: Mapping[str, Part]) -> Bound | None:
    """Of a comparison in a part of what was found; None if there isn't one."""
    if part in _OF_SERVERS:
        return _in_tables(found.get("floor", ()), of.name, -1, "no server")
    if part == "alternatives":
        alone = rows.without_server(of.name)
        ratios = [each.ratio for each in found[part] if isinstance(each, Comparison) and _is(each, alone, of.other)]
        return Bound(ratios[0], "no server with our graph") if ratios else None
    if part == "exports":
        network = of.name.split(",")[0]
        return _in_tables(found[part], network, IN_BOTH, "no file with the operators that both have")
    return None


def _is(comparison: Comparison, name: str, other: str) -> bool:
    return (comparison.name, comparison.other) == (name, other)


def _in_tables(part: Part, name: str, column: int, whose: str) -> Bound | None:
    """The figure in the row of that name."""
    tables = (each for each in part if isinstance(each, Table))
    figures = [row[column] for table in tables for row in table.rows if row[0] == name]
    return Bound(float(figures[0]), whose) if figures else None
