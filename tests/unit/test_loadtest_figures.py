"""From requests to a cell: what is counted, by what, and when the generator is to blame."""

from __future__ import annotations

import pytest

from loadtest.figures import Subject, cell_of
from loadtest.fleet import Told
from loadtest.load import Load
from loadtest.measure import Measurement
from loadtest.samples import NOT_SENT, Sample
from loadtest.serverview import Snapshot
from loadtest.workload import Workload
from tests.unit import test_loadtest_serverview as serverview

WORKLOAD = Workload("localhost:8001", "A", 4, (b"",))
SUBJECT = Subject(
    synthetic=True, parts=serverview.PARTS, ensembles=serverview.ENSEMBLES, size_classes=("small", "large")
)
WINDOWS = 4  # of a second each, after a second of warm-up


def told(samples: list[Sample], cpu_percent: float = 10.0, lag_s: float = 0.0005, worst_s: float | None = None) -> Told:
    return Told(
        samples=samples,
        cpu_s=[(at / 10, at / 10 * cpu_percent / 100) for at in range(60)],
        lags_s=[(at / 100, lag_s if worst_s is None or at % 50 else worst_s) for at in range(600)],
        settled_s=10.0,
        ended=True,
    )


def cell(samples: list[Sample], load: Load, **fared: float):
    process = told(samples, **fared)
    boundaries = [Snapshot(1.0 + number) for number in range(WINDOWS + 1)]
    return cell_of(Measurement(WORKLOAD, load, 0.0, samples, boundaries, [process]), SUBJECT)


def steady(latency_s: float = 0.1, users: int = 1, pause_s: float = 0.0) -> list[Sample]:
    """Users of a closed loop, from the beginning to after the end."""
    round_s = latency_s + pause_s
    return [
        Sample(number * round_s, number * round_s + latency_s, number % 2)
        for number in range(int(6 / round_s))
        for _ in range(users)
    ]


def test_the_last_three_windows_are_counted():
    found = cell(steady(), Load(users=1))

    assert (found.windows, found.requests) == (4, 30)
    assert (found.requests_per_s, found.images_per_s) == (pytest.approx(10), pytest.approx(40))
    assert found.window_images_per_s == pytest.approx((40.0,) * 4)
    assert (found.latency_ms.p50, found.latency_ms.max) == (pytest.approx(100), pytest.approx(100))
    assert len(found.quantiles_ms) == 101
    assert (found.stable, found.saturated, found.synthetic, found.bound) == (True, False, True, ())
    assert (found.server_ms, found.server_total_ms, found.outside_ms, found.batch_sizes) == (None, None, None, {})
    assert found.generator_cpu_percent == pytest.approx(10)


def test_pictures_of_each_size_have_their_own_figures():
    found = cell(steady(), Load(users=1)).by_size

    assert list(found) == ["small", "large"]
    assert sum(each.requests for each in found.values()) == 30
    assert sum(each.images_per_s for each in found.values()) == pytest.approx(40)


def test_failures_are_counted_by_kind_and_are_no_throughput():
    samples = [each._replace(error="ServerOverloaded") if at % 2 else each for at, each in enumerate(steady())]

    found = cell(samples, Load(users=1))

    assert (found.requests, found.failures, found.failure_kinds) == (30, 15, {"ServerOverloaded": 15})
    assert found.requests_per_s == pytest.approx(5, rel=0.1)


@pytest.mark.parametrize(
    ("samples", "fared", "reason"),
    [
        (steady(), {"cpu_percent": 95.0}, "it used 95 % of a core"),
        (steady(0.1, pause_s=0.05), {}, "its users were between two requests for 33 % of the time"),
        (steady(), {"lag_s": 0.015}, "its event loop was 15.0 ms late on average"),
        (steady(), {"worst_s": 0.06}, "its event loop was more than 60.0 ms late for 1 % of the time"),
    ],
)
def test_a_generator_at_its_limit_is_named(samples, fared, reason):
    assert cell(samples, Load(users=1), **fared).bound == (reason,)


def due(latency_s: float = 0.02, late_s: float = 0.0, per_s: int = 20) -> list[Sample]:
    return [Sample(at / per_s, at / per_s + latency_s + late_s, late_s=late_s) for at in range(6 * per_s)]


def test_requests_that_were_sent_late_are_the_generators_fault_and_count_from_when_they_were_due():
    found = cell(due(late_s=0.01), Load(rate_per_s=20.0))

    assert found.bound == ("1 % of the requests were sent more than 10.0 ms late",)
    assert found.latency_ms.p50 == pytest.approx(30)
    assert found.generator.late_start_ms == pytest.approx(10)


def test_an_open_loop_that_is_answered_in_time():
    found = cell(due(), Load(rate_per_s=20.0))

    assert (found.users, found.rate_per_s, found.arrivals) == (None, 20.0, "constant")
    assert (found.requests, found.saturated, found.stable, found.bound) == (60, False, True, ())


def test_a_server_that_answers_at_half_the_rate_is_saturated():
    samples = [Sample(at / 20, at / 10) for at in range(120)]

    found = cell(samples, Load(rate_per_s=20.0))

    assert found.saturated
    assert found.requests_per_s == pytest.approx(10, rel=0.05)


def test_requests_that_werent_sent_are_saturation():
    samples = due()
    samples[50] = samples[50]._replace(error=NOT_SENT)

    assert cell(samples, Load(rate_per_s=20.0)).saturated


def test_others_requests_are_seen_beside_our_own_that_werent_sent():
    samples = [each._replace(error=NOT_SENT) if at % 2 else each for at, each in enumerate(due())]
    steps = (serverview.ENSEMBLE, serverview.NETWORK, serverview.PREPROCESSING)
    boundaries = [
        serverview.snapshot(1.0 + at, *(serverview.later(each, 30 * at, 2.0) for each in steps))
        for at in range(WINDOWS + 1)
    ]

    found = cell_of(Measurement(WORKLOAD, Load(rate_per_s=20.0), 0.0, samples, boundaries, [told(samples)]), SUBJECT)

    assert found.other_requests == 3 * (30 - 10)


def test_a_server_that_is_a_little_too_slow_is_saturated():
    samples = [Sample(at / 200, at / 192) for at in range(1200)]

    assert cell(samples, Load(rate_per_s=200.0)).saturated


def test_what_the_sdk_warned_of_is_told():
    samples = steady()
    process = told(samples)
    process.warnings.add("images go over the connection")
    boundaries = [Snapshot(1.0 + number) for number in range(WINDOWS + 1)]

    found = cell_of(Measurement(WORKLOAD, Load(users=1), 0.0, samples, boundaries, [process]), SUBJECT)

    assert found.bound == ("images go over the connection",)


def test_what_is_outside_the_server_is_of_the_requests_that_it_counted():
    samples = due()
    process = told(samples)
    counters = [serverview.later(serverview.ENSEMBLE, 20 * at, 15.0) for at in range(WINDOWS + 1)]
    networks = [serverview.later(serverview.NETWORK, 20 * at, 2.0) for at in range(WINDOWS + 1)]
    steps = [serverview.later(serverview.PREPROCESSING, 20 * at, 2.0) for at in range(WINDOWS + 1)]
    boundaries = [
        serverview.snapshot(1.0 + at, *each) for at, each in enumerate(zip(counters, networks, steps, strict=True))
    ]

    found = cell_of(Measurement(WORKLOAD, Load(rate_per_s=20.0), 0.0, samples, boundaries, [process]), SUBJECT)

    assert found.server_total_ms == pytest.approx(15)
    assert found.outside_ms == pytest.approx(5)
    assert (found.other_requests, found.batch_sizes) == (0, {"2": 60})


def test_an_empty_measurement_is_a_cell_without_figures():
    found = cell([], Load(users=1))

    assert (found.requests, found.images_per_s, found.latency_ms, found.quantiles_ms) == (0, 0.0, None, ())
    assert found.stable is False
