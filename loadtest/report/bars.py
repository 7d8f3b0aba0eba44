"""Stacked bars of where an average request's time went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.ticker import MaxNLocator

from loadtest.cell import SERVER_STEPS, Cell
from loadtest.report.drawing import Canvas, Drawn, Key, colour
from loadtest.report.runs import Subject
from loadtest.report.subject_tables import STEPS, cell_name, rest_of_server

_BAR, _MARGIN = 19.0, 52.0  # pixels
_LETTER = 6.3

#: The parts in the order of a request's way, with the names of their colours.
PARTS = (*STEPS.values(), "rest of the server", "outside")


def times(subject: Subject, cells: Sequence[Cell]) -> Drawn | None:
    """A bar a cell, as long as its average latency."""
    if not cells:
        return None
    canvas = Canvas(f"{subject.id}-bars", height=_BAR * len(cells) + _MARGIN)
    names = [cell_name(cell) for cell in cells]
    axes = canvas.axes(left=12 + _LETTER * max(map(len, names)), right=40.0, top=8.0)
    rows = range(len(cells))
    ends = [0.0] * len(cells)
    for number, part in enumerate(PARTS):
        values = [_parts(cell)[number] for cell in cells]
        if any(values):
            axes.barh(rows, values, 0.72, ends, color=colour(f"step-{number}"), linewidth=0)
            canvas.legend.append(Key(part, f"step-{number}", "box"))
        ends = [end + value for end, value in zip(ends, values, strict=True)]
    for row, end in zip(rows, ends, strict=True):
        said: dict[str, Any] = {"xytext": (4, 0), "textcoords": "offset points", "va": "center", "fontsize": 9.5}
        axes.annotate(f"{end:,.1f}", (end, row), color=colour("quiet"), annotation_clip=False, **said)
    axes.set_yticks(rows, names)
    axes.set_ylim(len(cells) - 0.5, -0.5)
    axes.set_xlim(0, max(ends))
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.grid(visible=False, axis="y")
    axes.grid(axis="x", color=colour("rule"), linewidth=0.7)
    axes.set_xlabel("ms of an average request", color=colour("quiet"), labelpad=6)
    return canvas.drawn("Where the time goes", "The same figures are in the table below: " + _words(cells))


def _parts(cell: Cell) -> list[float]:
    steps = cell.server_ms or {}
    return [*(steps.get(step, 0.0) for step in SERVER_STEPS), rest_of_server(cell) or 0.0, cell.outside_ms or 0.0]


def _words(cells: Sequence[Cell]) -> str:
    longest = ((cell, max(zip(_parts(cell), PARTS, strict=True))) for cell in cells)
    return "; ".join(f"{cell_name(cell)}: most of it {part}, {value:.1f} ms" for cell, (value, part) in longest)
