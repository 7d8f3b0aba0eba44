"""Tables of one model with one kind of input: where the time goes, by size of picture, what ran, the hardware."""

from __future__ import annotations

from collections.abc import Iterable

from loadtest.cell import SERVER_STEPS, Cell
from loadtest.report.grid import Column, Entry, Grid, number, words
from loadtest.report.runs import Subject

#: The steps in words, in the order of a request's way.
STEPS = {step: step.replace("_", " ") for step in SERVER_STEPS}

#: Triton's metrics: name, heading, factor, digits.
_HARDWARE = (
    ("gpu_utilization", "GPU %", 100.0, 0),
    ("gpu_memory_used_bytes", "GPU memory, MiB", 2.0**-20, 0),
    ("gpu_power_usage", "GPU power, W", 1.0, 0),
    ("cpu_utilization", "CPU %", 100.0, 0),
)


def tables(subject: Subject) -> tuple[Grid, ...]:
    """Those for which there are figures."""
    found = (times(subject), sizes(subject), executions(subject), hardware(subject))
    return tuple(grid for grid in found if grid.rows)


def times(subject: Subject) -> Grid:
    """An average request's way in milliseconds: the figures of the stacked bars."""
    cells = [cell for cell in subject.cells if cell.server_ms]
    columns = (
        Column("cell", words=True),
        *(Column(name, ("on the server",)) for name in (*STEPS.values(), "rest", "all")),
        *(Column("outside"), Column("client's average")),
    )
    return Grid(f"{subject.id}-times", "Where the time goes, in ms", columns, tuple(map(_times, cells)))


def _times(cell: Cell) -> tuple[Entry, ...]:
    steps = cell.server_ms or {}
    return (
        words(cell_name(cell)),
        *(number(steps.get(step), 2) for step in SERVER_STEPS),
        *(number(rest_of_server(cell), 2), number(cell.server_total_ms, 2), number(cell.outside_ms, 2)),
        number(cell.latency_ms.avg if cell.latency_ms else None, 2),
    )


def rest_of_server(cell: Cell) -> float | None:
    """Time on the server that belongs to none of its steps, in ms: between them, in an ensemble."""
    if cell.server_total_ms is None or not cell.server_ms:
        return None
    return max(0.0, cell.server_total_ms - sum(cell.server_ms.values()))


def sizes(subject: Subject) -> Grid:
    """Latency by the largest picture of a request."""
    cells = [cell for cell in subject.cells if cell.by_size]
    classes = dict.fromkeys(name for cell in cells for name in cell.by_size)
    columns = (
        Column("cell", words=True),
        *(Column(name, (each,)) for each in classes for name in ("requests", "images/s", "p50 ms", "p99 ms")),
    )
    rows = tuple((words(cell_name(cell)), *_sizes(cell, classes)) for cell in cells)
    return Grid(f"{subject.id}-sizes", "By the size of a request's largest picture", columns, rows)


def _sizes(cell: Cell, classes: Iterable[str]) -> Iterable[Entry]:
    for name in classes:
        each = cell.by_size.get(name)
        latency = each.latency_ms if each else None
        yield number(each.requests if each else None, 0)
        yield number(each.images_per_s if each else None)
        yield number(latency.p50 if latency else None)
        yield number(latency.p99 if latency else None)


def executions(subject: Subject) -> Grid:
    """How many images the network computed at once; nothing where that was always the request's own number."""
    cells = [cell for cell in subject.cells if set(cell.batch_sizes) - {str(cell.batch_size)}]
    found = sorted({size for cell in cells for size in cell.batch_sizes}, key=lambda size: (len(size), size))
    columns = (Column("cell", words=True), *(Column(size, ("executions with so many images",)) for size in found))
    rows = tuple((words(cell_name(cell)), *(number(cell.batch_sizes.get(size), 0) for size in found)) for cell in cells)
    return Grid(f"{subject.id}-executions", "Images computed at once", columns, rows)


def hardware(subject: Subject) -> Grid:
    """What the metrics endpoint tells of GPU and CPU."""
    cells = [cell for cell in subject.cells if cell.hardware]
    shown = [metric for metric in _HARDWARE if any(metric[0] in (cell.hardware or {}) for cell in cells)]
    columns = (Column("cell", words=True), *(Column(heading) for _, heading, _, _ in shown))
    rows = tuple(
        (
            words(cell_name(cell)),
            *(number(_scaled((cell.hardware or {}).get(name), factor), digits) for name, _, factor, digits in shown),
        )
        for cell in cells
    )
    return Grid(f"{subject.id}-hardware", "Hardware, on average", columns, rows if shown else ())


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def cell_name(cell: Cell) -> str:
    """A cell among those of one model and input."""
    return f"batch {cell.batch_size}, {cell.load}"
