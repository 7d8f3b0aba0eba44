"""Under which conditions the figures were measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from loadtest.report.grid import Column, Grid, transposed
from loadtest.report.runs import Run


def weights(run: Run) -> str:
    """Which models have real weights, and which random ones."""
    kinds = {cell.model: "synthetic" if cell.synthetic else "real" for cell in run.results.cells}
    named = {kind: [name for name, each in kinds.items() if each == kind] for kind in ("real", "synthetic")}
    return "; ".join(f"{kind}: {', '.join(names)}" for kind, names in named.items() if names) or "unknown"


def _windows(run: Run) -> str:
    most = f"at most {run.header.max_windows} " if run.header.max_windows else ""
    return f"{most}of {run.header.duration_s:g} s, after {run.header.warm_up_s:g} s of warm-up"


_LINES: tuple[tuple[str, Callable[[Run], str]], ...] = (
    ("server", lambda run: f"Triton {run.header.server_version}" + (f" at {run.header.url}" if run.header.url else "")),
    ("profile", lambda run: run.header.profile),
    ("device", lambda run: run.header.device),
    ("GPU", lambda run: run.header.gpu or "no GPU, or unknown"),
    ("driver", lambda run: run.header.driver or ("unknown" if run.header.gpu else "no GPU, or unknown")),
    ("client", lambda run: f"tritonclas {run.header.client_version}"),
    ("generator", lambda run: run.header.generator or "unknown"),
    ("pictures", lambda run: run.header.pictures or "unknown"),
    ("inputs", lambda run: ", ".join(dict.fromkeys(cell.input for cell in run.results.cells)) or "none yet"),
    ("weights", weights),
    ("date", lambda run: run.header.date),
    ("windows", _windows),
)


def lines(run: Run) -> list[tuple[str, str]]:
    """What, and its value."""
    return [(what, said(run)) for what, said in _LINES]


def conditions(runs: Sequence[Run]) -> Grid:
    """A row a condition, a column a sweep."""
    columns = (Column("", words=True), *(Column(f"run {run.letter}".strip(), words=True) for run in runs))
    if len(runs) == 1:
        columns = (Column("condition", words=True), Column("value", words=True))
    rows = [(what, [said(run) for run in runs]) for what, said in _LINES]
    return Grid("conditions-table", "Conditions", columns, transposed(rows))
