"""The report for a terminal: a row a cell, with the published latencies beside it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from loadtest.cell import Cell
from loadtest.report.conditions import lines
from loadtest.report.remarks import SYNTHETIC, marks, remarks
from loadtest.report.runs import PUBLISHED, Run
from loadtest.results import Objective, Results
from tritonclas.published import published_latencies

COLUMNS = (
    *("model", "batch", "load", "input", "images/s", "avg ms", "p50 ms", "p95 ms", "p99 ms", "requests", "failures"),
    *(f"{gpu} {precision.upper()} ms" for gpu, precision in PUBLISHED),
    "marks",
)
_WORDS = ("model", "load", "input", "marks")
_SHOWN_IN_HEADER = ("server", "profile", "device", "GPU", "client", "date", "windows")
#: Cells that are named below the table; the report's files name all.
_MOST_CELLS = 3

_ORIGIN = (
    "{columns} are the latencies that PaddleClas publishes, of the network alone on that GPU. "
    "The others were measured end to end from the client, the server being on: {device}."
)


def table(results: Results) -> Table:
    """The table, the conditions above it and what must be known below it."""
    run = Run(results)
    header = [f"{what}: {value}" for what, value in lines(run) if what in _SHOWN_IN_HEADER]
    shown = Table(
        title=Text(" · ".join(header)),
        title_justify="left",
        caption=Text("\n".join(notes(results))),
        caption_justify="left",
        box=None,
    )
    for column in COLUMNS:
        shown.add_column(column, justify="left" if column in _WORDS else "right", no_wrap=column != "marks")
    for row in rows(results):
        shown.add_row(*map(Text, row))
    return shown


def rows(results: Results) -> list[tuple[str, ...]]:
    """A row a measured cell, as COLUMNS names them; "-" where there is no figure."""
    return [_row(cell) for cell in results.cells]


def _row(cell: Cell) -> tuple[str, ...]:
    measured = cell.latency_ms
    taken = (measured.avg, measured.p50, measured.p95, measured.p99) if measured else [None] * 4
    return (
        cell.model + SYNTHETIC * cell.synthetic,
        *(str(cell.batch_size), cell.load, cell.input, f"{cell.images_per_s:.1f}"),
        *map(_ms, taken),
        *(str(cell.requests), str(cell.failures)),
        *(_ms(published_latencies().get((cell.model, *column, cell.batch_size))) for column in PUBLISHED),
        ", ".join(mark for mark in marks(cell) if mark not in ("synthetic", "failures")),
    )


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def notes(results: Results) -> list[str]:
    """What a reader must know of the figures."""
    columns = ", ".join(f"{gpu} {precision.upper()} ms" for gpu, precision in PUBLISHED)
    found = [_ORIGIN.format(columns=columns, device=results.header.gpu or results.header.device)]
    for remark in remarks([Run(results)]):
        mark = SYNTHETIC if remark.mark == "synthetic" else f"{remark.mark}:"
        found.append(f"{mark} {remark.meaning}")
        if remark.mark != "synthetic":
            found += _some(remark.cells)
    return found + [_objective(each) for each in results.objectives]


def _some(cells: Sequence[str]) -> list[str]:
    more = [f"  … and {len(cells) - _MOST_CELLS} more"] if len(cells) > _MOST_CELLS else []
    return [f"  {cell}" for cell in cells[:_MOST_CELLS]] + more


def _objective(each: Objective) -> str:
    rate = "no rate held it" if each.rate_per_s is None else f"{each.rate_per_s:.1f} requests/s held it"
    return (
        f"{each.model}, batch {each.batch_size}, {each.input}, {each.quantile} at most {each.limit_ms:g} ms: {rate}"
        + (f", {each.images_per_s:.1f} images/s" if each.images_per_s is not None else "")
    )
