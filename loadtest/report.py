"""The measured cells beside the published latencies, for a terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from loadtest.cell import Cell
from loadtest.results import Header, Results, write_whole
from tritonclas.published import published_latencies

FILE = "report.md"

#: GPU and precision of the published columns.
_PUBLISHED = (("V100", "fp32"), ("T4", "fp16"), ("T4", "fp32"))

COLUMNS = (
    *("model", "batch", "users", "avg ms", "p50 ms", "p99 ms", "images/s", "requests", "failures"),
    *(f"{gpu} {precision.upper()} ms" for gpu, precision in _PUBLISHED),
)

#: A generator that is busier than this, in per cent of a core, may have been the limit itself.
_BUSY_PERCENT = 80.0

_ORIGIN = (
    "{columns} are the latencies that PaddleClas publishes, of the network alone on that GPU. "
    "The others were measured end to end from the client, the server being on: {device}."
)
_SYNTHETIC = "* Random weights: the speed is real, the answers mean nothing."


def rows(results: Results) -> list[tuple[str, ...]]:
    """A row a measured cell, as COLUMNS names them; "-" where there is no figure."""
    return [_row(cell) for cell in results.cells]


def _row(cell: Cell) -> tuple[str, ...]:
    measured = cell.latency_ms
    taken = (measured.avg, measured.p50, measured.p99) if measured else (None, None, None)
    return (
        cell.model + "*" * cell.synthetic,
        *(str(cell.batch_size), str(cell.users)),
        *map(_ms, taken),
        f"{cell.images_per_s:.1f}",
        *(str(cell.requests), str(cell.failures)),
        *(_ms(published_latencies().get((cell.model, *column, cell.batch_size))) for column in _PUBLISHED),
    )


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def notes(results: Results) -> list[str]:
    """What a reader must know of the figures."""
    columns = ", ".join(COLUMNS[-len(_PUBLISHED) :])
    found = [_ORIGIN.format(columns=columns, device=results.header.device)]
    if any(cell.synthetic for cell in results.cells):
        found.append(_SYNTHETIC)
    found += [f"{cell.title}: {_failures(cell)}." for cell in results.cells if cell.failures]
    found += [
        f"{cell.title}: the load generator used {cell.generator_cpu_percent:.0f} % of a core "
        "and may have been the limit itself."
        for cell in results.cells
        if cell.generator_cpu_percent > _BUSY_PERCENT
    ]
    return found


def _failures(cell: Cell) -> str:
    kinds = ", ".join(f"{kind} {count}" for kind, count in cell.failure_kinds.items())
    return f"{cell.failures} of {cell.requests} requests failed ({kinds})"


def conditions(header: Header, cells: Sequence[Cell]) -> list[tuple[str, str]]:
    """The header's lines: what, and its value."""
    inputs = sorted({cell.input for cell in cells})
    found = [
        ("server", f"Triton {header.server_version}"),
        ("profile", header.profile),
        ("device", header.device),
        ("client", f"tritonclas {header.client_version}"),
        ("date", header.date),
        ("measured", f"{header.duration_s:g} s a cell after {header.warm_up_s:g} s of warm-up"),
    ]
    return [*found, ("input", ", ".join(inputs))] if inputs else found


def markdown(results: Results) -> str:
    """The report as a Markdown document."""
    parts = [
        "# Load test",
        "\n".join(f"- {what}: {value}" for what, value in conditions(results.header, results.cells)),
        "\n".join([_line(COLUMNS), _rule(), *map(_line, rows(results))]),
        "\n".join(f"- {_escaped(note)}" for note in notes(results)),
    ]
    return "\n\n".join(parts) + "\n"


def _line(values: Iterable[str]) -> str:
    return f"| {' | '.join(map(_escaped, values))} |"


def _rule() -> str:
    return f"|{'|'.join([' --- ', *[' ---: '] * (len(COLUMNS) - 1)])}|"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*").replace("_", "\\_")


def table(results: Results) -> Table:
    """The report's table for a terminal."""
    header = " · ".join(f"{what}: {value}" for what, value in conditions(results.header, results.cells))
    shown = Table(
        title=Text(header),
        title_justify="left",
        caption=Text("\n".join(notes(results))),
        caption_justify="left",
        box=None,
    )
    for number, column in enumerate(COLUMNS):
        shown.add_column(column, justify="right" if number else "left", no_wrap=True)
    for row in rows(results):
        shown.add_row(*map(Text, row))
    return shown


FILES = (FILE,)


def write(results: Results, folder: Path) -> None:
    """Put the report into the folder."""
    write_whole(folder / FILE, markdown(results))
