"""Measures what is planned, keeping the results after each cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from loadtest import objective
from loadtest.arguments import Target
from loadtest.cell import Cell
from loadtest.errors import LoadTestError
from loadtest.figures import Subject, cell_of
from loadtest.fleet import Fleet
from loadtest.hardware import Gauging
from loadtest.load import Arrivals, Load
from loadtest.measure import measure
from loadtest.pictures import SIZE_CLASSES
from loadtest.plan import Planned
from loadtest.progress import Bar
from loadtest.results import Objective, Results
from loadtest.serverview import Parts, ServerView
from loadtest.timing import Timing
from loadtest.workload import Workload

#: Cells that a search is expected to take, for the progress bar.
EXPECTED_PROBES = 9


@dataclass
class Sweep:
    """A sweep under way: `results` are kept in the folder `out` after each cell."""

    fleet: Fleet
    server: ServerView
    gauging: Gauging
    timing: Timing
    bar: Bar
    results: Results
    out: Path

    def cells(self, planned: Sequence[Planned]) -> None:
        """Measure these, one after another."""
        for each in planned:
            self.cell(each, self.timing)

    def cell(self, planned: Planned, timing: Timing) -> Cell:
        """Measure one and keep it."""
        self.bar.begin(planned.key.title, timing.expected_s)
        measurement = measure(self.fleet, planned.workload, planned.load, timing, self.server, self.bar.tick)
        begin, end = measurement.counted
        subject = Subject(
            synthetic=planned.model.synthetic,
            parts=_asked(planned),
            ensembles=self.server.ensembles,
            size_classes=SIZE_CLASSES if planned.workload.input.startswith("encoded") else (),
            hardware=self.gauging.average(begin.at_s, end.at_s),
        )
        cell = cell_of(measurement, subject)
        self.bar.end(cell)
        self._keep(self.results.with_cell(cell))
        if cell.failed and not self.server.lives():
            raise LoadTestError("the server doesn't answer any more; when it does, --resume goes on with what is left")
        return cell

    def search(self, template: Planned, target: Target, arrivals: Arrivals) -> None:
        """Find the highest rate of the template's workload that holds the objective; its probes are cells, too."""
        timing = replace(self.timing, open_requests=objective.MIN_REQUESTS)

        def probe(load: Load, *, anew: bool) -> Cell:
            planned = replace(template, load=load)
            known = next((cell for cell in self.results.cells if cell.key == planned.key), None)
            return known if known and not anew and objective.suffices(known) else self.cell(planned, timing)

        found = objective.search(target, probe, arrivals)
        workload = template.workload
        self._keep(
            self.results.with_objective(
                Objective(
                    model=workload.model,
                    batch_size=workload.batch_size,
                    input=workload.input,
                    quantile=target.quantile,
                    limit_ms=target.limit_ms,
                    arrivals=arrivals,
                    rate_per_s=found.holds_per_s,
                    broken_per_s=found.broken_per_s,
                )
            )
        )
        self.bar.say(_told(workload, target, found))

    def _keep(self, results: Results) -> None:
        self.results = results
        results.write(self.out)


def _asked(planned: Planned) -> Parts:
    """The models through which the requests go: pixels go to the network alone."""
    parts = planned.model.parts
    return parts if planned.workload.input.startswith("encoded") else Parts(parts.network, parts.network)


def _told(workload: Workload, target: Target, found: objective.Found) -> str:
    what = f"{workload.model}, batch {workload.batch_size}: {target.quantile} of {target.limit_ms:g} ms"
    if found.broken_per_s is None and found.holds_per_s is None:
        return f"{what} isn't held by one user alone"
    if found.holds_per_s is None:
        return f"{what} isn't held at {found.broken_per_s:g} requests/s, nor above"
    images_per_s = found.holds_per_s * workload.batch_size
    return f"{what} is held up to {found.holds_per_s:g} requests/s ({images_per_s:g} images/s)"
