"""The search for the highest rate that holds a latency objective, on servers that exist on paper only."""

from __future__ import annotations

from dataclasses import replace

import pytest
from click import BadParameter

from loadtest.arguments import Target, target
from loadtest.cell import Cell
from loadtest.load import Load
from loadtest.objective import MOST_PROBES, RESOLUTION, holds, search, suffices
from loadtest.samples import Latency
from tests.unit.test_loadtest_results import CELL, FAILED

P99 = Target("p99", 50.0)


class Queue:
    """Latency grows as that of M/M/1 does, up to the capacity."""

    def __init__(self, capacity_per_s: float, service_ms: float) -> None:
        self.capacity_per_s = capacity_per_s
        self.service_ms = service_ms
        self.tried: list[float] = []
        self.again: list[float] = []
        self.hiccups: list[float] = []

    def __call__(self, load: Load, *, anew: bool) -> Cell:
        if anew:
            self.again.append(load.rate_per_s)
        cell = self._measured(load)
        if load.rate_per_s and load.rate_per_s in self.hiccups and not anew:
            self.hiccups.remove(load.rate_per_s)
            return replace(cell, saturated=True, latency_ms=replace(cell.latency_ms, p99=1000.0))
        return cell

    def _measured(self, load: Load) -> Cell:
        if load.users:
            return self._cell(load, 1000 / self.service_ms, self.service_ms)
        assert load.rate_per_s
        self.tried.append(load.rate_per_s)
        if load.rate_per_s >= self.capacity_per_s:
            return replace(self._cell(load, self.capacity_per_s, 5000.0), saturated=True)
        return self._cell(load, load.rate_per_s, self.service_ms / (1 - load.rate_per_s / self.capacity_per_s))

    @staticmethod
    def _cell(load: Load, answered_per_s: float, p99: float) -> Cell:
        return replace(
            CELL,
            users=load.users,
            rate_per_s=load.rate_per_s,
            requests_per_s=answered_per_s,
            failures=0,
            latency_ms=Latency(avg=p99, p50=p99, p90=p99, p95=p99, p99=p99, max=p99),
        )


@pytest.mark.parametrize(("capacity_per_s", "service_ms"), [(100.0, 10.0), (1000.0, 2.0), (37.0, 27.0), (4000.0, 2.0)])
def test_the_rate_found_is_the_one_that_theory_tells(capacity_per_s, service_ms):
    queue = Queue(capacity_per_s, service_ms)

    found = search(P99, queue)

    best = capacity_per_s * (1 - service_ms / P99.limit_ms)
    assert found.holds_per_s <= best <= found.broken_per_s
    assert found.broken_per_s <= 1.01 * RESOLUTION * found.holds_per_s
    assert len(set(queue.tried)) <= MOST_PROBES
    assert len(queue.tried) == len(set(queue.tried)) + len(queue.again)


def test_a_hiccup_doesnt_bound_the_search():
    plain, disturbed = Queue(100.0, 10.0), Queue(100.0, 10.0)
    disturbed.hiccups = [50.0]

    assert search(P99, disturbed) == search(P99, plain)
    assert 50.0 in disturbed.again


def test_a_server_that_breaks_it_at_any_rate_isnt_asked_for_ever():
    """The median is within the objective, and the 99th percentile at no rate."""

    class Restless(Queue):
        @staticmethod
        def _cell(load: Load, answered_per_s: float, p99: float) -> Cell:
            cell = Queue._cell(load, answered_per_s, p99)
            return replace(cell, latency_ms=replace(cell.latency_ms, p99=60.0))

    queue = Restless(1000.0, 10.0)

    found = search(P99, queue)

    assert found.holds_per_s is None
    assert found.broken_per_s == min(queue.tried) >= 100.0 / 20


def test_an_objective_that_one_user_breaks_isnt_held_by_any_rate():
    found = search(P99, Queue(10.0, 100.0))

    assert (found.holds_per_s, found.broken_per_s) == (None, None)


def test_what_is_known_of_a_rate_suffices_if_it_has_the_searchs_requests():
    few = replace(CELL, users=None, rate_per_s=10.0, requests=250)

    assert not suffices(few)
    assert suffices(replace(few, requests=300))
    assert suffices(replace(CELL, users=1, requests=30))


def test_failures_and_saturation_dont_hold():
    good = replace(CELL, failures=0)
    assert holds(good, P99)
    assert not holds(CELL, P99)
    assert not holds(FAILED, P99)
    assert not holds(replace(good, saturated=True), P99)
    assert not holds(good, Target("p50", 19.9))


@pytest.mark.parametrize(
    ("text", "expected"),
    [("p99=50ms", P99), ("P95 <= 0.2 s", Target("p95", 200.0)), ("avg=1.5ms", Target("avg", 1.5)), (None, None)],
)
def test_objectives_are_read(text, expected):
    assert target(text) == expected


@pytest.mark.parametrize("text", ["p99", "p98=5ms", "p99=5", "p99=0ms", "p99=..ms", "p99=-5ms", "fast"])
def test_what_is_no_objective_is_refused_with_an_example(text):
    with pytest.raises(BadParameter, match="isn't an objective; give such as p99=50ms"):
        target(text)


def test_objectives_are_written_as_they_are_read():
    assert target(str(P99)) == P99
