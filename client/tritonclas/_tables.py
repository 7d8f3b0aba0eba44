"""Tables in a terminal, names as they are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

#: Columns that the widest table needs; a narrower terminal breaks its lines, which is better than cutting names.
_TABLE_WIDTH = 120


def plain_console(**options: Any) -> Console:
    """A console that prints names as they are: no markup, no emoji, and no line broken within a word."""
    return Console(markup=False, emoji=False, highlight=False, soft_wrap=True, **options)


def table_of(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> Table:
    """A table without lines."""
    table = Table(*columns, box=None)
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def wide_console() -> Console:
    """A plain console that is wide enough for our tables."""
    return plain_console(width=max(_TABLE_WIDTH, plain_console().width))
