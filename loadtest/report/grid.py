"""A table as data, before it is Markdown or HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

NOT_MEASURED = "not measured"

#: What a figure is, which decides how it looks.
Kind = Literal["", "published", "measured", "missing", "words", "words marks"]


@dataclass(frozen=True)
class Entry:
    """What stands in one place of a table. `exact` is the number that `text` rounds, `marks` the signs after it."""

    text: str
    kind: Kind = ""
    exact: float | None = None
    marks: str = ""

    def __str__(self) -> str:
        return self.text + self.marks


@dataclass(frozen=True)
class Column:
    """A column, under the headings of the groups that it belongs to, the widest first."""

    name: str
    groups: tuple[str, ...] = ()
    words: bool = False

    @property
    def path(self) -> tuple[str, ...]:
        """Everything that stands above its figures."""
        return (*self.groups, self.name)


@dataclass(frozen=True)
class Heading:
    """One heading, over so many columns and rows of headings."""

    text: str
    columns: int = 1
    rows: int = 1
    words: bool = False
    first: bool = False


@dataclass(frozen=True)
class Grid:
    """A table. A row's first entry is what the row is of."""

    id: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Entry, ...], ...]
    notes: tuple[str, ...] = ()

    @property
    def depth(self) -> int:
        """How many rows of headings it has."""
        return max(len(column.path) for column in self.columns)

    def headings(self) -> list[list[Heading]]:
        """The rows of headings: groups above what they join, columns without a group over all rows."""
        return [self._headings(level) for level in range(self.depth)]

    def _headings(self, level: int) -> list[Heading]:
        found = []
        for path, columns in groupby(self.columns, lambda column: (column.path[: level + 1], len(column.path) > level)):
            members = list(columns)
            if path[1]:
                last = len(members[0].path) == level + 1
                rows = self.depth - level if last else 1
                found.append(
                    Heading(path[0][level], len(members), rows, members[0].words, members[0] is self.columns[0])
                )
        return found


def number(value: float | None, digits: int = 1, kind: Kind = "", marks: str = "") -> Entry:
    """A number, or a dash where there is none."""
    return Entry("-", "missing") if value is None else Entry(f"{value:,.{digits}f}", kind, value, marks)


def words(text: str) -> Entry:
    """Text."""
    return Entry(text, "words")


def transposed(rows: Sequence[tuple[str, Sequence[str]]]) -> tuple[tuple[Entry, ...], ...]:
    """Rows of text: what, and its value in each column."""
    return tuple((words(what), *map(words, values)) for what, values in rows)
