"""Figures of one model with one kind of input."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from loadtest.cell import Cell
from loadtest.report.bars import times
from loadtest.report.drawing import DASHES, MARKERS, SERIES, Canvas, Drawn, Key, colour, label_axes, logarithmic
from loadtest.report.labels import Label, place
from loadtest.report.runs import Subject
from loadtest.report.subject_tables import cell_name
from loadtest.samples import Latency

#: Above this ratio of the highest to the lowest value an axis is logarithmic.
_WIDE = 12.0
#: Loads of one batch size that the figure of latency's distribution shows.
_MOST_LOADS = 3
_PERCENTILES = (0, 50, 75, 90, 95, 99)
_MAX_AT = 2.35  # where the largest latency stands, right of 99 %, which is at 2
_MS = "latency, ms"
_QUANTILES = [Key("p50", "quiet", "o"), Key("p99", "quiet", "o", filled=False)]


@dataclass(frozen=True)
class Line:
    """Cells that a line joins, and how it looks. `at` is their place along the x-axis."""

    name: str
    number: int
    cells: tuple[Cell, ...]
    at: tuple[float, ...]
    palette: str

    @property
    def points(self) -> list[tuple[float, Cell]]:
        """The cells with their places."""
        return list(zip(self.at, self.cells, strict=True))

    @property
    def colour(self) -> str:
        """Of the page's colours."""
        return f"{self.palette}-{self.number % SERIES}"

    @property
    def marker(self) -> str:
        """Tells it from the others without colour."""
        return MARKERS[self.number % len(MARKERS)]

    @property
    def key(self) -> Key:
        """Its line in the legend."""
        return Key(self.name, self.colour, self.marker)


def figures(subject: Subject) -> list[Drawn]:
    """All that there are data for."""
    answered = sorted((cell for cell in subject.cells if cell.latency_ms), key=_order)
    found = [
        throughput(subject, answered),
        batches(subject, answered),
        times(subject, [cell for cell in answered if cell.server_ms]),
        distribution(subject, [cell for cell in answered if len(cell.quantiles_ms) > 2]),
    ]
    return [drawn for drawn in found if drawn]


def _order(cell: Cell) -> tuple[int, float, float]:
    return cell.batch_size, cell.rate_per_s or 0.0, cell.users or 0


def throughput(subject: Subject, cells: Sequence[Cell]) -> Drawn | None:
    """Throughput to the right, latency upwards; a line a batch size, a point a load."""
    if not cells:
        return None
    canvas = Canvas(f"{subject.id}-throughput")
    axes = canvas.axes(top=24.0)
    lines = _by_batch(cells)
    axes.set_xlim(0, 1.1 * max(cell.images_per_s for cell in cells))
    axes.xaxis.set_major_locator(MaxNLocator(6))
    _latency_axis(axes, [value for cell in cells for value in (_latency(cell).p50, _latency(cell).p99)])
    label_axes(axes, "images/s", _MS)
    _draw(axes, lines)
    _name_loads(axes, lines)
    canvas.legend += [*(line.key for line in lines), *_QUANTILES]
    said = "; ".join(
        f"{cell_name(cell)}: {cell.images_per_s:.1f} images/s, p50 {_p(cell)[0]:.1f}, p99 {_p(cell)[1]:.1f} ms"
        for cell in cells
    )
    loads = " and ".join(_kinds_of_load(cells))
    return canvas.drawn("Throughput and latency", said, f"Numbers at the points: {loads}.")


def _name_loads(axes: Axes, lines: Sequence[Line]) -> None:
    clear = [[(at, _p(cell)[which]) for at, cell in line.points] for line in lines for which in (0, 1)]
    clear += [[(at, value) for value in _p(cell)] for line in lines for at, cell in line.points]
    place(axes, [Label(_load(cell), at, _p(cell)[0], line.colour) for line in lines for at, cell in line.points], clear)


def batches(subject: Subject, cells: Sequence[Cell]) -> Drawn | None:
    """Latency against batch size; a line a load."""
    sizes = sorted({cell.batch_size for cell in cells})
    if len(sizes) < 2:
        return None
    canvas = Canvas(f"{subject.id}-batches")
    axes = canvas.axes(top=24.0)
    lines = _by_load(cells, sizes)
    axes.set_xlim(-0.4, len(sizes) - 0.6)
    axes.set_xticks(range(len(sizes)), [str(size) for size in sizes])
    _latency_axis(axes, [value for cell in cells for value in _p(cell)])
    label_axes(axes, "batch size", _MS)
    _draw(axes, lines)
    canvas.legend += [*(line.key for line in lines), *_QUANTILES]
    said = "; ".join(f"{cell_name(cell)}: p50 {_p(cell)[0]:.1f}, p99 {_p(cell)[1]:.1f} ms" for cell in cells)
    return canvas.drawn("Latency by batch size", said)


def distribution(subject: Subject, cells: Sequence[Cell]) -> Drawn | None:
    """Latency against the part of the requests that were as quick, with room for the slowest."""
    if not cells:
        return None
    canvas = Canvas(f"{subject.id}-distribution")
    axes = canvas.axes(top=24.0)
    lines = _by_batch(cells)
    shown = [(line, number, cell) for line in lines for number, cell in enumerate(_some(line.cells))]
    for line, number, cell in shown:
        axes.plot(
            [_nines(100 * at / (len(cell.quantiles_ms) - 1)) for at in range(len(cell.quantiles_ms))],
            cell.quantiles_ms,
            color=colour(line.colour),
            linestyle=DASHES[number % len(DASHES)],
            linewidth=1.6,
        )
    axes.set_xlim(0, _MAX_AT + 0.05)
    axes.set_xticks([*map(_nines, _PERCENTILES), _MAX_AT], [*map(str, _PERCENTILES), "max"])
    _latency_axis(axes, [value for _, _, cell in shown for value in cell.quantiles_ms])
    label_axes(axes, "per cent of requests that took at most so long", _MS)
    canvas.legend += [Key(line.name, line.colour, "line") for line in lines]
    said = "; ".join(
        f"{cell_name(cell)}: from {cell.quantiles_ms[0]:.1f} to {cell.quantiles_ms[-1]:.1f} ms" for _, _, cell in shown
    )
    return canvas.drawn("Latency's distribution", said, *_dashes_in_words(shown))


def _dashes_in_words(shown: Sequence[tuple[Line, int, Cell]]) -> list[str]:
    names = ("solid", "dashed", "dotted", "dash-dotted")
    loads: dict[int, dict[str, None]] = {}
    for _, number, cell in shown:
        loads.setdefault(number, {})[cell.load] = None
    return [", ".join(f"{names[number]}: {' or '.join(each)}" for number, each in loads.items()) + "."]


def _some(cells: Sequence[Cell]) -> list[Cell]:
    """The lowest load, the middle one, and the highest."""
    if len(cells) <= _MOST_LOADS:
        return list(cells)
    return [cells[0], cells[len(cells) // 2], cells[-1]]


def _nines(percent: float) -> float:
    return -math.log10(1 - percent / 100) if percent < 100 else _MAX_AT


def _by_batch(cells: Sequence[Cell]) -> list[Line]:
    """A line for each batch size in a closed loop, and one in an open loop."""
    groups: dict[tuple[int, bool], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.batch_size, cell.users is None), []).append(cell)
    both = len({is_open for _, is_open in groups}) > 1
    return [
        Line(
            f"batch {size}" + (", open loop" if is_open and both else ""),
            number,
            tuple(members),
            tuple(cell.images_per_s for cell in members),
            "series",
        )
        for number, ((size, is_open), members) in enumerate(groups.items())
    ]


def _by_load(cells: Sequence[Cell], sizes: Sequence[int]) -> list[Line]:
    groups: dict[str, list[Cell]] = {}
    for cell in sorted(cells, key=lambda cell: (_order(cell)[1:], cell.batch_size)):
        groups.setdefault(cell.load, []).append(cell)
    joined = [(load, members) for load, members in groups.items() if len(members) > 1]
    return [
        Line(load, number, tuple(members), tuple(float(sizes.index(cell.batch_size)) for cell in members), "load")
        for number, (load, members) in enumerate(joined or groups.items())
    ]


def _draw(axes: Axes, lines: Iterable[Line]) -> None:
    """The median in full colour, the 99th percentile hollow above it."""
    for line in lines:
        p50, p99 = zip(*map(_p, line.cells), strict=True)
        own = colour(line.colour)
        axes.vlines(line.at, p50, p99, colors=own, linewidth=0.8, alpha=0.45)
        look: dict[str, Any] = {"color": own, "marker": line.marker, "markeredgecolor": own, "markeredgewidth": 1.3}
        axes.plot(line.at, p99, linewidth=1.0, linestyle=(0, (3, 2)), markerfacecolor=colour("ground"), **look)
        axes.plot(line.at, p50, markerfacecolor=own, **look)


def _latency_axis(axes: Axes, values: Sequence[float]) -> None:
    low, high = min(values), max(values)
    if low > 0 and high / low > _WIDE:
        logarithmic(axes, low, high, "y")
    else:
        axes.set_ylim(0, 1.08 * high or 1.0)
        axes.yaxis.set_major_locator(MaxNLocator(6))


def _latency(cell: Cell) -> Latency:
    assert cell.latency_ms
    return cell.latency_ms


def _p(cell: Cell) -> tuple[float, float]:
    return _latency(cell).p50, _latency(cell).p99


def _load(cell: Cell) -> str:
    return str(cell.users) if cell.users is not None else f"{cell.rate_per_s:g}/s"


def _kinds_of_load(cells: Iterable[Cell]) -> list[str]:
    return sorted({"users" if cell.users is not None else "requests a second" for cell in cells}, reverse=True)
