"""The published tables, with what was measured beside each figure."""

from __future__ import annotations

from collections.abc import Sequence

from loadtest.report.grid import NOT_MEASURED, Column, Entry, Grid, number, words
from loadtest.report.remarks import DISTURBED, END_TO_END, ONNX_RUNTIME, SIGNS, SYNTHETIC, UNSTABLE, bound
from loadtest.report.runs import BATCH_SIZES, PUBLISHED, Comparable, Place, Run, comparable, other_models, other_places
from tritonclas.published import published_latencies, published_models
from tritonclas.zoo import MODELS

_MISSING = Entry(NOT_MEASURED, "missing")


def latencies(runs: Sequence[Run]) -> tuple[Grid, ...]:
    """A table for each published GPU."""
    return tuple(_latencies(runs, gpu) for gpu in dict.fromkeys(gpu for gpu, _ in PUBLISHED))


def models(runs: Sequence[Run]) -> Grid:
    """Accuracies and sizes, published and counted."""
    columns = (
        *(Column("model", words=True), Column("crop"), Column("resize")),
        *(Column(name, ("published",)) for name in ("top-1", "top-5")),
        *(Column(name, (group,)) for group in ("GFLOPs", "parameters, M") for name in ("published", "counted")),
    )
    return Grid("models", "Accuracy and size", columns, tuple(map(_model, _names(runs))))


def _model(name: str) -> tuple[Entry, ...]:
    published, row = published_models().get(name), MODELS.get(name)
    return (
        *(words(name), *_sizes(name)),
        number(published.top1 if published else None, 3, "published"),
        number(published.top5 if published else None, 3, "published"),
        number(published.gflops if published else None, 2, "published"),
        number(row.gflops if row else None, 2),
        number(published.parameters_m if published else None, 2, "published"),
        number(row.parameters / 1e6 if row else None, 2),
    )


def _names(runs: Sequence[Run]) -> tuple[str, ...]:
    """The published models, and below them what else was measured."""
    return (*published_models(), *other_models(runs, published_models()))


def _latencies(runs: Sequence[Run], gpu: str) -> Grid:
    precisions = [place for place in PUBLISHED if place[0] == gpu]
    others = other_places(runs)
    rows = tuple(_row(runs, name, precisions, others) for name in _names(runs))
    signs = [sign for sign in SIGNS if any(sign in entry.marks for row in rows for entry in row)]
    return Grid(
        f"latency-{gpu.lower()}",
        f"{gpu}: latency of a batch, in ms",
        (*(Column("model", words=True), Column("crop"), Column("resize")), *_columns(precisions, others)),
        rows,
        tuple(f"{sign} {SIGNS[sign]}" for sign in signs),
    )


def _columns(precisions: Sequence[Place], others: Sequence[Place]) -> list[Column]:
    pairs = [
        Column(kind, (precision.upper(), f"batch size {size}"))
        for _, precision in precisions
        for size in BATCH_SIZES
        for kind in ("published", "measured")
    ]
    return pairs + [Column(f"batch size {size}", (measured_on(place),)) for place in others for size in BATCH_SIZES]


def measured_on(place: Place) -> str:
    """A column's heading in words."""
    device, profile = place
    where = "an unknown device" if device == "unknown" else device
    return f"measured on {where}, profile {profile}"


def _row(runs: Sequence[Run], name: str, precisions: Sequence[Place], others: Sequence[Place]) -> tuple[Entry, ...]:
    pairs = (
        entry
        for place in precisions
        for size in BATCH_SIZES
        for entry in (
            number(published_latencies().get((name, *place, size)), 2, "published"),
            _measured(comparable(runs, place, name, size)),
        )
    )
    measured = (_measured(comparable(runs, place, name, size)) for place in others for size in BATCH_SIZES)
    return words(name), *_sizes(name), *pairs, *measured


def _measured(found: Comparable | None) -> Entry:
    if found is None:
        return _MISSING
    if found.cell.latency_ms is None:
        return Entry("all failed", "missing")
    return number(found.cell.latency_ms.avg, 2, "measured", signs_of(found))


def signs_of(found: Comparable) -> str:
    """What is to be known of a figure, as signs."""
    holds = {
        SYNTHETIC: found.cell.synthetic,
        END_TO_END: found.end_to_end,
        ONNX_RUNTIME: found.run.with_onnx_runtime,
        UNSTABLE: found.cell.stable is False,
        DISTURBED: bool(bound(found.cell) or found.cell.failures or found.cell.other_requests),
    }
    return "".join(sign for sign, held in holds.items() if held)


def _sizes(name: str) -> tuple[Entry, Entry]:
    row = MODELS.get(name)
    return number(row.crop if row else None, 0), number(row.resize_short if row else None, 0)
