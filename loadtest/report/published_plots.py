"""The document's four figures: top-1 against GFLOPs, parameters, and latency at FP32 and FP16."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import log

from matplotlib.axes import Axes

from loadtest.report.drawing import Canvas, Drawn, Key, colour, label_axes, logarithmic
from loadtest.report.labels import Label, place
from loadtest.report.published_tables import measured_on, signs_of
from loadtest.report.remarks import SIGNS
from loadtest.report.runs import PUBLISHED, Comparable, Place, Run, comparable, other_places, precision_of
from tritonclas.published import published_latencies, published_models
from tritonclas.zoo import MODELS, EfficientNet

_FAMILIES = {"efficientnet": "EfficientNet", "resnext": "ResNeXt101_wsl"}
_TOP1 = "top-1, %"
#: Markers of what was measured in one place, then in the next.
_MEASURED = ("o", "s", "D", "^")
#: Pixels between two points of one model for which one name is enough.
_ONE_NAME = 45.0


@dataclass(frozen=True)
class Points:
    """A point a model: its x by the model's name. Hollow markers are of published figures."""

    name: str
    x: dict[str, float]
    marker: str = "o"
    filled: bool = True


def figures(runs: Sequence[Run]) -> list[Drawn]:
    """All that there are data for, the document's four at least."""
    places = [place for place in PUBLISHED if place[0] == "T4" or _latencies(_comparable(runs, place))]
    ordered = sorted(places, key=lambda place: (place[0] != "T4", place[1] != "fp32"))
    return [_gflops(), _parameters(), *(_latency(runs, place) for place in ordered)]


def _gflops() -> Drawn:
    counted = {name: MODELS[name].gflops for name in published_models()}
    published = {name: row.gflops for name, row in published_models().items()}
    return _sizes("gflops", "GFLOPs", counted, published)


def _parameters() -> Drawn:
    counted = {name: MODELS[name].parameters / 1e6 for name in published_models()}
    published = {name: row.parameters_m for name, row in published_models().items()}
    return _sizes("parameters", "parameters, M", counted, published)


def _sizes(name: str, axis: str, counted: dict[str, float], published: dict[str, float]) -> Drawn:
    return _figure(
        f"figure-{name}",
        f"Top-1 against {axis.partition(',')[0]}",
        axis,
        [Points("counted", counted), Points("as published, too small", published, filled=False)],
    )


def _latency(runs: Sequence[Run], column: Place) -> Drawn:
    gpu, precision = column
    published = {name: published_latencies().get((name, *column, 1)) for name in published_models()}
    known = {name: value for name, value in published.items() if value is not None}
    sets = [Points(f"published, {gpu} {precision.upper()}", known, filled=False)]
    places = [column, *(place for place in other_places(runs) if precision_of(place[1]) == precision)]
    found = {each: _comparable(runs, each) for each in places}
    for number, (each, cells) in enumerate(found.items()):
        if latencies := _latencies(cells):
            sets.append(Points(_place_name(each), latencies, _MEASURED[number % len(_MEASURED)]))
    missing = () if _latencies(found[column]) else (f"Not measured on a {gpu} at {precision.upper()}.",)
    marks = {sign for cells in found.values() for cell in cells.values() for sign in signs_of(cell)}
    remarks = (f"Among what was measured: {SIGNS[sign]}" for sign in SIGNS if sign in marks)
    return _figure(
        f"figure-{gpu.lower()}-{precision}",
        f"Top-1 against latency, {gpu} {precision.upper()}, batch size 1",
        "latency, ms",
        sets,
        *missing,
        *remarks,
    )


def _place_name(column: Place) -> str:
    gpu, precision = column
    return f"measured on {gpu}, {precision.upper()}" if column in PUBLISHED else measured_on(column)


def _latencies(found: Mapping[str, Comparable]) -> dict[str, float]:
    return {name: each.cell.latency_ms.avg for name, each in found.items() if each.cell.latency_ms}


def _comparable(runs: Sequence[Run], column: Place) -> dict[str, Comparable]:
    found = {name: comparable(runs, column, name, 1) for name in published_models()}
    return {name: each for name, each in found.items() if each}


def _figure(name: str, title: str, axis: str, sets: Sequence[Points], *notes: str) -> Drawn:
    canvas = Canvas(name, height=350.0)
    axes = canvas.axes(left=34.0, top=26.0)
    every = [value for points in sets for value in points.x.values()]
    logarithmic(axes, min(every), max(every))
    tops = [_top1(model) for model in sets[0].x]
    axes.set_ylim(min(tops) - 1.2, max(tops) + 1.2)
    label_axes(axes, axis, _TOP1)
    for points in sets:
        _draw(axes, points)
        canvas.legend += _keys(points)
    canvas.legend[:0] = [Key(label, family, "line") for family, label in _FAMILIES.items()]
    _name_points(axes, sets)
    return canvas.drawn(title, _description(axis, sets), *notes)


def _keys(points: Points) -> list[Key]:
    return [Key(points.name, "ink", points.marker, points.filled)]


def _draw(axes: Axes, points: Points) -> None:
    for family in _FAMILIES:
        members = _line(points, family)
        axes.plot(
            [x for x, _ in members],
            [y for _, y in members],
            color=colour(family),
            linewidth=1.6 if points.filled else 0.9,
            linestyle="-" if points.filled else (0, (3, 2)),
            marker=points.marker,
            markerfacecolor=colour(family if points.filled else "ground"),
            markeredgecolor=colour(family),
            markeredgewidth=1.4,
        )


def _line(points: Points, family: str) -> list[tuple[float, float]]:
    return sorted((x, _top1(name)) for name, x in points.x.items() if family_of(name) == family)


def _top1(name: str) -> float:
    return 100 * published_models()[name].top1


def _name_points(axes: Axes, sets: Sequence[Points]) -> None:
    """Every model's name beside the first of its points, and again beside a measured one that is far from there."""
    lines = [_line(each, family) for each in sets for family in _FAMILIES]
    labels = [
        Label(short(name), x, _top1(name), family_of(name))
        for number, each in enumerate(sets)
        for name, x in each.x.items()
        if number == 0 or (each.filled and _far(axes, x, [other.x.get(name) for other in sets[:number]]))
    ]
    place(axes, labels, lines)


def _far(axes: Axes, x: float, others: Iterable[float | None]) -> bool:
    left, right = axes.get_xlim()
    width = axes.get_window_extent().width * 72.0 / axes.figure.dpi / log(right / left)
    return all(other is None or abs(log(x / other)) * width > _ONE_NAME for other in others)


def _description(axis: str, sets: Iterable[Points]) -> str:
    said = "; ".join(
        f"{each.name}: " + ", ".join(f"{short(name)} {x:.4g}" for name, x in each.x.items()) for each in sets
    )
    return f"A point a model. Upwards: published top-1 accuracy. To the right, logarithmic: {axis}. {said}"


def family_of(name: str) -> str:
    """The colour of a model's family."""
    return "efficientnet" if isinstance(MODELS[name].network, EfficientNet) else "resnext"


def short(name: str) -> str:
    """A model's name without its family's."""
    return name.removeprefix("EfficientNet").replace("ResNeXt101_", "").removesuffix("_wsl").replace("_", " ")
