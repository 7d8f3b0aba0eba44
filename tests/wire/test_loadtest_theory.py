"""The load test against queues of which theory tells the throughput and the latency.

Bounds: 5 % for throughput and 10 % for latencies, and 5 ms for what gRPC and this machine add to each request.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from contextlib import suppress
from functools import wraps
from itertools import islice

import numpy as np
import pytest

from loadtest.fleet import Fleet
from loadtest.load import Load
from loadtest.measure import Measurement, is_saturated, measure
from loadtest.pictures import EXAMPLES
from loadtest.samples import latency
from loadtest.serverview import ServerView
from loadtest.timing import Timing
from loadtest.workload import Workload
from tests.wire.queueing import STALL_S, Queue, predicted_ms, queueing, service_times
from tests.wire.slow_servicer import MODEL
from tritonclas import ModelServer

SERVICE_S = 0.02
SERVICE_MS = 1000 * SERVICE_S
ADDED_MS = 5.0
PICTURE = next(EXAMPLES.glob("*.jpg")).read_bytes()


@pytest.fixture(scope="module")
def fleet():
    with Fleet(1) as started:
        yield started


@pytest.fixture(scope="module")
def two_processes():
    with Fleet(2) as started:
        yield started


def run(fleet: Fleet, url: str, load: Load, duration_s: float = 1.0) -> Measurement:
    workload = Workload(url, MODEL, 1, (PICTURE,), timeout_s=30.0)
    with ModelServer(url) as server:
        return measure(fleet, workload, load, Timing(0.5, duration_s, max_windows=3), ServerView(server))


def thrice(test):
    """A machine that pauses delays what queues behind: an error would be there each time, a pause isn't."""

    @wraps(test)
    def tried(*arguments, **named):
        for _ in range(2):
            with suppress(AssertionError):
                return test(*arguments, **named)
        return test(*arguments, **named)

    return tried


def slow(*values: object) -> object:
    return pytest.param(*values, marks=pytest.mark.slow)


def close(value: float, theory: float) -> None:
    assert theory * 0.9 <= value <= theory * 1.1 + ADDED_MS


@pytest.mark.parametrize(
    ("capacity", "users_each", "distribution"),
    [
        *((1, 1, "constant"), slow(2, 1, "constant"), slow(8, 1, "constant")),
        *(slow(1, 3, "constant"), slow(2, 3, "normal"), slow(8, 2, "constant"), (8, 3, "normal")),
    ],
)
@thrice
def test_a_closed_loop_gets_what_the_servers_can_do_and_waits_by_littles_law(fleet, capacity, users_each, distribution):
    users = capacity * users_each
    with queueing(capacity, SERVICE_S, distribution) as url:
        whole = run(fleet, url, Load(users=users)).whole

    found = latency(whole.samples)
    capacity_per_s = capacity / SERVICE_S
    if users > capacity:
        assert whole.requests_per_s == pytest.approx(capacity_per_s, rel=0.05)
        close(found.avg, 1000 * users / capacity_per_s)
    else:  # nobody waits for a server, but servers wait for the next request of their user
        close(found.avg, SERVICE_MS)
        assert capacity_per_s * SERVICE_MS / (SERVICE_MS + ADDED_MS) < whole.requests_per_s < 1.02 * capacity_per_s
    assert whole.requests_per_s * found.avg / 1000 == pytest.approx(users, rel=0.05)


@pytest.mark.parametrize(
    ("capacity", "rate_per_s", "distribution"),
    [slow(1, 30.0, "constant"), slow(1, 25.0, "exponential"), (2, 70.0, "exponential"), slow(8, 120.0, "constant")],
)
@thrice
def test_an_open_loop_queues_as_theory_says(two_processes, capacity, rate_per_s, distribution):
    """Request by request: the same arrivals and service times through a queue on paper."""
    load = Load(rate_per_s=rate_per_s, arrivals="poisson", seed=3)
    with queueing(capacity, SERVICE_S, distribution) as url:
        measured = run(two_processes, url, load, duration_s=2.0)

    due_s = _due_s(measured)
    before_the_end = bisect_right(due_s, measured.boundaries[-1].at_s)  # the processes don't stop at the same time
    assert due_s[:before_the_end] == pytest.approx(
        _schedule(load.shares(2), measured.start_s, before_the_end), abs=1e-6
    )
    expected = predicted_ms(due_s, Queue(capacity, service_times(SERVICE_S, distribution)))
    begin, end = measured.counted
    counted = [ms for at_s, ms in zip(due_s, expected, strict=True) if begin.at_s < at_s <= end.at_s]
    found = latency(measured.whole.samples)
    assert measured.whole.requests_per_s == pytest.approx(rate_per_s, rel=5 / math.sqrt(len(counted)))
    close(found.avg, np.mean(counted))
    for taken, at in ((found.p50, 50), (found.p90, 90), (found.p95, 95)):
        close(taken, np.percentile(counted, at, method="inverted_cdf"))
    assert not is_saturated(measured)


@thrice
def test_constant_arrivals_below_capacity_dont_wait(two_processes):
    with queueing(1, SERVICE_S) as url:
        measured = run(two_processes, url, Load(rate_per_s=40.0))

    found = latency(measured.whole.samples)
    assert measured.whole.requests_per_s == pytest.approx(40, rel=0.02)
    close(found.p50, SERVICE_MS)
    close(found.p90, SERVICE_MS)


@pytest.mark.slow
@thrice
def test_a_stall_of_a_second_is_in_the_open_loops_percentiles(fleet):
    """Those that were due in it count, with the time that they would have waited."""
    with queueing(1, SERVICE_S, stall_at_s=1.5) as url:
        measured = run(fleet, url, Load(rate_per_s=25.0))

    expected = predicted_ms(_due_s(measured), Queue(1, service_times(SERVICE_S, "constant"), stall_at_s=1.5))
    found = latency(measured.whole.samples)
    close(found.max, max(expected))
    assert found.max > 900 * STALL_S
    assert found.p90 > 500  # more than half of the three seconds' requests were delayed by it


@pytest.mark.slow
def test_a_rate_that_the_server_cant_serve_is_saturation_and_its_capacity_is_the_throughput(fleet):
    with queueing(1, SERVICE_S) as url:
        measured = run(fleet, url, Load(rate_per_s=75.0))

    assert is_saturated(measured)
    assert measured.whole.requests_per_s == pytest.approx(1 / SERVICE_S, rel=0.05)
    found = latency(measured.whole.samples)
    assert found.max > 1000  # at 75 a second 25 more wait each second: after 3.5 s for 1.75 s
    assert found.p50 > 300


def _due_s(measured: Measurement) -> list[float]:
    """When the requests of all processes were due."""
    return sorted(sample.begin_s for sample in measured.samples)


def _schedule(shares: list[Load], begin_s: float, count: int) -> list[float]:
    """The first requests that processes with these shares should send."""
    return sorted(due_s for share in shares for due_s in islice(share.due(begin_s), count))[:count]
