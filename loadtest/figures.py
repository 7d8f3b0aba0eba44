"""From the requests of a window to a cell's figures."""

from __future__ import annotations

from loadtest.cell import Cell
from loadtest.samples import Window, failure_kinds, latency, requests_per_s
from loadtest.workload import Workload


def cell_of(workload: Workload, users: int, measured: Window, *, synthetic: bool, generator_cpu_percent: float) -> Cell:
    """The figures of a window."""
    rate = requests_per_s(measured)
    kinds = failure_kinds(measured)
    return Cell(
        model=workload.model,
        batch_size=workload.batch_size,
        users=users,
        input=workload.input,
        synthetic=synthetic,
        images_per_s=rate * workload.batch_size,
        requests_per_s=rate,
        latency_ms=latency(measured),
        requests=len(measured.samples),
        failures=sum(kinds.values()),
        failure_kinds=kinds,
        generator_cpu_percent=generator_cpu_percent,
    )
