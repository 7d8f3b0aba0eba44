"""Measures the planned cells one after another, under a progress bar on stderr."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from loadtest.cell import Cell
from loadtest.figures import cell_of
from loadtest.measure import Tick, Timing, measure
from loadtest.plan import Planned

#: Drawing takes this process's time, which its users need.
_REFRESH_HZ = 2


def measured_cells(planned: Sequence[Planned], timing: Timing) -> Iterator[Cell]:
    """The cells, each as soon as it is measured."""
    columns = TextColumn("{task.description}", markup=False), BarColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=_REFRESH_HZ) as progress:
        bar = progress.add_task("", total=len(planned) * timing.expected_s)
        for number, each in enumerate(planned):
            progress.update(bar, description=each.title)
            cell = _measured(each, timing, _Advance(progress, bar, number * timing.expected_s, timing.expected_s))
            progress.console.print(cell.summary, markup=False, highlight=False, soft_wrap=True)
            yield cell


def _measured(planned: Planned, timing: Timing, tick: Tick) -> Cell:
    measurement = measure(planned.workload, planned.users, timing, tick)
    return cell_of(
        planned.workload,
        planned.users,
        measurement.window,
        synthetic=planned.synthetic,
        generator_cpu_percent=measurement.generator_cpu_percent,
    )


@dataclass(frozen=True)
class _Advance:
    """Moves the bar with the time that a cell takes, up to the time that it was expected to take."""

    progress: Progress
    bar: TaskID
    before_s: float
    expected_s: float
    begin_s: float = field(default_factory=time.perf_counter)

    def __call__(self) -> None:
        passed_s = time.perf_counter() - self.begin_s
        self.progress.update(self.bar, completed=self.before_s + min(passed_s, self.expected_s))
