"""Names beside points, placed so that they cover neither each other nor the points and lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, dist

from matplotlib.axes import Axes

from loadtest.report.drawing import colour

_CHARACTER, _LINE, _POINT = 5.8, 10.0, 9.0  # pixels
_SIZE = 9.5
_MISLEADING = 40.0  # what it costs, in square pixels of overlap
_STEP = 4.0  # pixels between the spots of a line that are kept clear

#: Where a label may stand: its corner nearest to the point, in pixels from there, and its alignment.
_LEFT, _RIGHT, _CENTRE = "right", "left", "center"
_PLACES = (
    *((6, -11, _RIGHT), (-6, 4, _LEFT), (6, 4, _RIGHT), (-6, -11, _LEFT)),
    *((0, 8, _CENTRE), (0, -16, _CENTRE), (9, -4, _RIGHT), (-9, -4, _LEFT)),
    *((-12, 12, _LEFT), (12, -20, _RIGHT), (12, 12, _RIGHT), (-12, -20, _LEFT)),
    *((0, 18, _CENTRE), (0, -26, _CENTRE), (20, -4, _RIGHT), (-20, -4, _LEFT)),
)
_SHIFT = {_LEFT: -1.0, _RIGHT: 0.0, _CENTRE: -0.5}

Point = tuple[float, float]


@dataclass(frozen=True)
class Label:
    """A name for a point, in data coordinates."""

    text: str
    x: float
    y: float
    colour: str


@dataclass(frozen=True)
class _Box:
    left: float
    bottom: float
    width: float
    height: float

    def overlap(self, other: _Box) -> float:
        across = min(self.left + self.width, other.left + other.width) - max(self.left, other.left)
        up = min(self.bottom + self.height, other.bottom + other.height) - max(self.bottom, other.bottom)
        return max(0.0, across) * max(0.0, up)


def place(axes: Axes, labels: Sequence[Label], lines: Sequence[Sequence[Point]]) -> None:
    """Write the labels into the axes, whose limits must be set; `lines` (of data coordinates) are kept clear."""
    taken = [box for line in lines for box in _along([_pixels(axes, *point) for point in line])]
    markers = [_pixels(axes, *point) for line in lines for point in line]
    inside = _frame(axes)
    for label in labels:
        own = _pixels(axes, label.x, label.y)
        boxes = [_box(label, own, where) for where in _PLACES]
        costs = [
            _cost(box, taken, inside, number) + _MISLEADING * _nearer_to_another(box, own, markers)
            for number, box in enumerate(boxes)
        ]
        best = costs.index(min(costs))
        taken.append(boxes[best])
        _write(axes, label, *_PLACES[best])


def _write(axes: Axes, label: Label, right: int, up: int, align: str) -> None:
    axes.annotate(
        label.text,
        (label.x, label.y),
        xytext=(right, up),
        textcoords="offset points",
        ha=align,
        color=colour(label.colour),
        fontsize=_SIZE,
        annotation_clip=False,
    )


def _pixels(axes: Axes, x: float, y: float) -> Point:
    scale = axes.figure.dpi / 72.0
    right, up = axes.transData.transform((x, y)) / scale
    return float(right), float(up)


def _frame(axes: Axes) -> _Box:
    scale, frame = axes.figure.dpi / 72.0, axes.get_window_extent()
    return _Box(frame.x0 / scale, frame.y0 / scale, frame.width / scale, frame.height / scale)


def _along(line: Sequence[Point]) -> Iterator[_Box]:
    """Its points, and smaller spots between them."""
    yield from (_around(x, y, _POINT) for x, y in line)
    for one, other in pairwise(line):
        steps = ceil(dist(one, other) / _STEP)
        for step in range(1, steps):
            part = step / steps
            yield _around(one[0] + part * (other[0] - one[0]), one[1] + part * (other[1] - one[1]), _STEP)


def _around(x: float, y: float, size: float) -> _Box:
    return _Box(x - size / 2, y - size / 2, size, size)


def _box(label: Label, point: Point, where: tuple[int, int, str]) -> _Box:
    right, up, align = where
    width = _CHARACTER * len(label.text)
    return _Box(point[0] + right + _SHIFT[align] * width, point[1] + up - 1, width, _LINE)


def _nearer_to_another(box: _Box, own: Point, markers: Iterable[Point]) -> bool:
    """True if a reader would take it for the name of a point that isn't beside its own."""
    centre = box.left + box.width / 2, box.bottom + box.height / 2
    others = [marker for marker in markers if dist(own, marker) > _POINT]
    return any(dist(centre, other) < dist(centre, own) for other in others)


def _cost(box: _Box, taken: Iterable[_Box], inside: _Box, number: int) -> float:
    outside = box.width * box.height - box.overlap(inside)
    return sum(map(box.overlap, taken)) + 3 * outside + number
