"""What a model did between two readings, whatever happened to its counters in between."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tritonclas import ModelStatistics
from tritonclas._growth import growth

BEFORE = ModelStatistics(
    name="EfficientNetB0_net",
    version="1",
    inferences=100,
    executions=50,
    successes=80,
    failures=4,
    success_s=8.0,
    queue_s=4.0,
    compute_input_s=0.4,
    compute_infer_s=3.2,
    compute_output_s=0.4,
    batch_sizes={},
)


def later(**more: Any) -> ModelStatistics:
    """The counters after they grew by so much."""
    return replace(BEFORE, **{name: getattr(BEFORE, name) + by for name, by in more.items()})


def test_rates_are_a_second_and_means_those_of_the_interval() -> None:
    found = growth(
        BEFORE, later(inferences=60, executions=15, successes=20, failures=6, success_s=1.0, queue_s=0.2), 2.0
    )
    assert (found.requests_per_s, found.images_per_s, found.failures_per_s) == (10, 30, 3)
    assert found.images_at_once == 4
    assert (found.total_ms, found.queue_ms) == (pytest.approx(50), pytest.approx(10))
    assert found.compute_infer_ms == 0


def test_an_idle_model_has_no_means() -> None:
    found = growth(BEFORE, BEFORE, 2.0)
    assert (found.requests_per_s, found.images_per_s, found.failures_per_s) == (0, 0, 0)
    assert {found.images_at_once, found.total_ms, found.queue_ms, found.compute_output_ms} == {None}


@pytest.mark.parametrize("before", [None, BEFORE], ids=["new", "started anew"])
def test_a_model_that_began_anew_began_with_nothing(before: ModelStatistics | None) -> None:
    anew = replace(BEFORE, inferences=12, executions=6, successes=8, failures=0, success_s=9.0)
    found = growth(before, anew, 2.0)
    assert (found.requests_per_s, found.images_per_s, found.failures_per_s) == (4, 6, 0)
    assert found.total_ms == pytest.approx(9000 / 8)


def test_a_failed_request_of_an_ensemble_is_counted_once() -> None:
    found = growth(BEFORE, later(failures=6, successes=3, inferences=3, executions=3), 2.0, is_ensemble=True)
    assert found.failures_per_s == 1.5
    assert found.images_at_once is None
