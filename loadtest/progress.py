"""Measures the planned cells one after another, under a progress bar on stderr."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from loadtest.cell import Cell

#: Drawing takes time of a machine that may be the server's, too.
_REFRESH_HZ = 2


@dataclass
class Bar:
    """The sweep's progress in seconds: it moves with the time, up to what each cell was expected to take."""

    progress: Progress
    task: TaskID
    done_s: float = 0.0
    begin_s: float = 0.0
    expected_s: float = 0.0

    def begin(self, title: str, expected_s: float) -> None:
        """The next cell."""
        self.begin_s, self.expected_s = time.perf_counter(), expected_s
        self.progress.update(self.task, description=title)

    def tick(self) -> None:
        """Time has passed."""
        passed_s = min(time.perf_counter() - self.begin_s, self.expected_s)
        self.progress.update(self.task, completed=self.done_s + passed_s)

    def end(self, cell: Cell) -> None:
        """The cell is measured."""
        self.done_s += self.expected_s
        self.progress.update(self.task, completed=self.done_s)
        self.progress.console.print(cell.summary, markup=False, highlight=False, soft_wrap=True)

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        self.progress.console.print(line, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def progress_bar(expected_s: float) -> Iterator[Bar]:
    """A bar for a sweep that takes so long if nothing is restless."""
    columns = TextColumn("{task.description}", markup=False), BarColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=_REFRESH_HZ) as progress:
        yield Bar(progress, progress.add_task("", total=expected_s))
