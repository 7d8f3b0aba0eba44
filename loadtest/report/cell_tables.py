"""Tables of everything that was measured: all cells, the best of each model, the objectives."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from loadtest.cell import Cell
from loadtest.report.grid import Column, Entry, Grid, number, words
from loadtest.report.remarks import SIGNS, SYNTHETIC, marks
from loadtest.report.runs import Run, Subject, subjects
from loadtest.results import Objective
from loadtest.samples import Latency

_LATENCIES = ("avg", "p50", "p90", "p95", "p99", "max")
_STABLE = {True: "yes", False: "no", None: "-"}


def glance(runs: Sequence[Run]) -> Grid:
    """Of each model and input the lowest latency and the highest throughput."""
    columns = (
        *(Column("model", words=True), Column("input", words=True)),
        *(Column("p50 ms", ("lowest latency",)), Column("under", ("lowest latency",), words=True)),
        *(Column(name, ("highest throughput",)) for name in ("images/s", "p50 ms", "p99 ms")),
        Column("under", ("highest throughput",), words=True),
    )
    found = subjects(runs)
    return Grid("best", "The best of each model", _with_run(runs, columns), tuple(map(_best, found)), _synthetic(runs))


def _best(subject: Subject) -> tuple[Entry, ...]:
    answered = [cell for cell in subject.cells if cell.latency_ms]
    start = (model(subject.cells[0]), *_letter(subject.run), words(subject.input))
    if not answered:
        return *start, *[number(None)] * 6
    quickest = min(answered, key=lambda cell: _latency(cell).p50)
    busiest = max(answered, key=lambda cell: cell.images_per_s)
    return (
        *start,
        *(number(_latency(quickest).p50), words(_load(quickest))),
        *(number(busiest.images_per_s), number(_latency(busiest).p50), number(_latency(busiest).p99)),
        words(_load(busiest)),
    )


def _latency(cell: Cell) -> Latency:
    assert cell.latency_ms
    return cell.latency_ms


def _load(cell: Cell) -> str:
    doubts = [mark for mark in marks(cell) if mark != "synthetic"]
    return f"batch {cell.batch_size}, {cell.load}" + (f" ({', '.join(doubts)})" if doubts else "")


def cells(runs: Sequence[Run]) -> Grid:
    """A row a cell, with all that is one number."""
    columns = (
        *(Column("model", words=True), Column("batch"), Column("load", words=True), Column("input", words=True)),
        *(Column("marks", words=True), Column("images/s"), Column("requests/s")),
        *(Column(name, ("latency, ms",)) for name in _LATENCIES),
        *(Column("requests"), Column("failures"), Column("windows"), Column("stable", words=True)),
        *(Column(name, ("generator",)) for name in ("CPU %", "loop lag ms", "late start ms")),
        Column("failed with", words=True),
    )
    rows = tuple(_row(run, cell) for run in runs for cell in run.results.cells)
    return Grid("cells", "Every cell", _with_run(runs, columns), rows, _synthetic(runs))


def _row(run: Run, cell: Cell) -> tuple[Entry, ...]:
    taken = [getattr(cell.latency_ms, name) if cell.latency_ms else None for name in _LATENCIES]
    said = ", ".join(mark for mark in marks(cell) if mark != "synthetic")
    return (
        *(model(cell), *_letter(run), Entry(str(cell.batch_size)), words(cell.load), words(cell.input)),
        Entry(said, "words marks"),
        *(number(cell.images_per_s), number(cell.requests_per_s), *map(number, taken)),
        *(number(cell.requests, 0), number(cell.failures, 0)),
        *(Entry(str(cell.windows)), words(_STABLE[cell.stable]), number(cell.generator_cpu_percent, 0)),
        number(cell.generator.loop_lag_ms if cell.generator else None),
        number(cell.generator.late_start_ms if cell.generator else None),
        words(_failures(cell)),
    )


def _failures(cell: Cell) -> str:
    return ", ".join(f"{kind} {count:,}" for kind, count in cell.failure_kinds.items())


def _lowest_broken(each: Objective) -> Entry:
    if each.broken_per_s is not None:
        return number(each.broken_per_s)
    return Entry("one user alone" if each.rate_per_s is None else "all held it", "missing")


def objectives(runs: Sequence[Run]) -> Grid:
    """The highest rates that held what was asked for."""
    columns = (
        *(Column("model", words=True), Column("input", words=True), Column("batch"), Column("objective", words=True)),
        *(Column(name, ("highest rate that held it",)) for name in ("requests/s", "images/s")),
        Column("lowest that didn't, requests/s"),
    )
    rows = tuple(_objective(run, each) for run in runs for each in run.results.objectives)
    return Grid("objectives", "The highest rate that held an objective", _with_run(runs, columns), rows)


def _objective(run: Run, each: Objective) -> tuple[Entry, ...]:
    return (
        *(words(each.model), *_letter(run), words(each.input), Entry(str(each.batch_size))),
        words(f"{each.quantile} ≤ {each.limit_ms:g} ms"),
        *(number(each.rate_per_s) if each.rate_per_s is not None else Entry("none held it", "missing"),),
        number(each.images_per_s),
        _lowest_broken(each),
    )


def model(cell: Cell) -> Entry:
    """The model's name, marked if its weights are random."""
    return Entry(cell.model, "words", marks=SYNTHETIC * cell.synthetic)


def _synthetic(runs: Iterable[Run]) -> tuple[str, ...]:
    some = any(cell.synthetic for run in runs for cell in run.results.cells)
    return (f"{SYNTHETIC} {SIGNS[SYNTHETIC]}",) if some else ()


def _with_run(runs: Sequence[Run], columns: Sequence[Column]) -> tuple[Column, ...]:
    first, *others = columns
    return (first, Column("run", words=True), *others) if len(runs) > 1 else tuple(columns)


def _letter(run: Run) -> tuple[Entry, ...]:
    return (words(run.letter),) if run.letter else ()
