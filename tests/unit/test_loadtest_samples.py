"""Throughput and latency out of single requests."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.samples import Latency, Sample, Window, failure_kinds, latency, window


def ended(end_s: float, latency_ms: float, error: str | None = None) -> Sample:
    return Sample(end_s - latency_ms / 1000, end_s, error=error)


def stretch(samples: list[Sample], anchor_s: float = 0.0) -> Window:
    return Window(samples, samples, anchor_s)


def answered(*ends_s: float) -> list[Sample]:
    return [ended(end_s, 200.0) for end_s in ends_s]


def with_latencies(*latencies_ms: float) -> list[Sample]:
    return [Sample(0.0, latency_ms / 1000) for latency_ms in latencies_ms]


def test_a_window_holds_what_ended_in_it_and_begins_with_the_completion_before_it():
    found = window(answered(4.0, 2.0, 1.0, 3.0, 5.0), load_start_s=0.0, begin_s=2.5, end_s=4.0, by_due=False)

    assert [sample.end_s for sample in found.samples] == [3.0, 4.0]
    assert found.anchor_s == 2.0


def test_without_a_completion_before_it_a_window_begins_with_the_load():
    assert window(answered(3.0), load_start_s=0.25, begin_s=1.0, end_s=4.0, by_due=False).anchor_s == 0.25


@pytest.mark.parametrize("begin_s", [1.0, 1.05, 1.19])
@pytest.mark.parametrize("duration_s", [1.0, 1.1, 1.19])
def test_users_who_are_answered_together_count_exactly_wherever_the_window_lies(begin_s, duration_s):
    rounds = (round_ * 0.2 for round_ in range(1, 40))
    samples = answered(*(end_s for end_s in rounds for _ in range(8)))

    measured = window(samples, 0.0, begin_s, begin_s + duration_s, by_due=False)

    assert measured.requests_per_s == pytest.approx(8 / 0.2)


def test_a_window_short_against_the_latency_isnt_biased():
    samples = answered(*(10.0 * number for number in range(1, 10)))  # one user, 10 s a request

    assert window(samples, 0.0, 14.0, 41.0, by_due=False).requests_per_s == pytest.approx(0.1)


def test_in_an_open_loop_requests_count_where_they_were_due():
    """A stall's victims end after it, all at once; they belong to the time of the stall."""
    samples = [Sample(float(due_s), max(due_s + 0.1, 5.0)) for due_s in range(8)]

    stalled = window(samples, 0.0, 0.5, 3.5, by_due=True)
    after = window(samples, 0.0, 3.5, 6.5, by_due=True)

    assert [sample.begin_s for sample in stalled.samples] == [1.0, 2.0, 3.0]
    assert [round(sample.latency_ms) for sample in stalled.samples] == [4000, 3000, 2000]
    assert stalled.ended == []
    assert len(after.ended) == 7
    assert [sample.begin_s for sample in after.samples] == [4.0, 5.0, 6.0]


def test_failed_requests_are_no_throughput():
    measured = stretch([ended(1.0, 5.0), ended(2.0, 1.0, "ServerOverloaded"), ended(4.0, 5.0)])

    assert measured.requests_per_s == pytest.approx(2 / 4)


def test_an_empty_window_has_no_throughput_and_no_latency():
    assert stretch([]).requests_per_s == 0.0
    assert latency([]) is None


def test_percentiles_are_latencies_that_were_measured():
    found = latency(with_latencies(*range(100, 0, -1)))

    assert found == Latency(avg=50.5, p50=50.0, p90=90.0, p95=95.0, p99=99.0, max=100.0)


def test_few_requests_still_have_percentiles():
    assert latency(with_latencies(1.25, 2.5)) == Latency(avg=1.875, p50=1.25, p90=2.5, p95=2.5, p99=2.5, max=2.5)


def test_latency_is_that_of_answered_requests():
    measured = [Sample(0.0, 0.005), Sample(0.0, 9.999, error="DeadlineExceeded")]

    assert latency(measured) == Latency(5.0, 5.0, 5.0, 5.0, 5.0, 5.0)
    assert latency(measured[1:]) is None


@given(st.lists(st.floats(0.001, 1e6), min_size=1, max_size=300))
def test_percentiles_are_of_the_nearest_rank(latencies_ms):
    found = latency(with_latencies(*latencies_ms))

    assert found is not None
    ordered = sorted(latencies_ms)
    for percent, value in ((50, found.p50), (90, found.p90), (95, found.p95), (99, found.p99)):
        assert value == pytest.approx(ordered[-(-percent * len(ordered) // 100) - 1])
    assert found.max == pytest.approx(ordered[-1])
    assert found.avg == pytest.approx(np.mean(latencies_ms))


def test_failures_are_counted_by_kind():
    kinds = ["ServerOverloaded", None, "DeadlineExceeded", "ServerOverloaded"]

    found = failure_kinds([Sample(0.0, 1.0, error=kind) for kind in kinds])

    assert found == {"ServerOverloaded": 2, "DeadlineExceeded": 1}
