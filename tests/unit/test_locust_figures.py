"""Locust's figures from several processes are those of all their requests."""

from __future__ import annotations

import time
from types import SimpleNamespace

import numpy as np
import pytest

from loadtest.locust_figures import Figures, Record
from loadtest.samples import Sample, latency

NAME = "EfficientNetB0 batch 4"


def figures_of(*messages: dict, now_s: float) -> Figures:
    """A master's, after these reports of workers."""
    events = SimpleNamespace(
        **{name: SimpleNamespace(add_listener=lambda _: None) for name in ("request", "test_start", "reset_stats")}
    )
    taken: list = []
    events.worker_report = SimpleNamespace(add_listener=taken.append)
    options = SimpleNamespace(worker=False, master=True)
    figures = Figures()
    figures.attach(SimpleNamespace(events=events, parsed_options=options, reset_stats=False))
    for worker, message in enumerate(messages):
        taken[0](client_id=str(worker), data={"batches": {NAME: message}, "batches_sent_s": now_s, "batches_epoch": 0})
    return figures


def counted(samples: list[Sample]) -> Record:
    figures = Figures()
    for sample in samples:
        figures.count(name=NAME, context={"sample": sample, "images": 4})
    return figures._records[NAME]


@pytest.mark.parametrize("scale_ms", [0.5, 30, 900])
@pytest.mark.parametrize("requests", [1, 7, 100, 5000])
def test_percentiles_of_several_processes_are_exact_to_a_thousandth(scale_ms, requests):
    random = np.random.default_rng(1)
    now_s = time.perf_counter()
    latencies_s = random.lognormal(0, 1, requests) * scale_ms / 1000
    samples = [Sample(now_s - each, now_s) for each in latencies_s]
    parts = [samples[number::3] for number in range(3)]

    figures = figures_of(*(counted(part).message(now_s) for part in parts if part), now_s=now_s)

    (figure,) = figures.all()
    true = latency(samples)
    assert figure.requests == requests
    for quantile in ("p50", "p90", "p95", "p99", "max"):
        assert getattr(figure, f"{quantile}_ms") == pytest.approx(getattr(true, quantile), rel=0.001, abs=0.001)
    assert figure.images_per_s == pytest.approx(4 * figure.requests_per_s)


def test_the_time_is_from_the_first_begin_to_the_last_end_whatever_the_clocks_say():
    here_s = time.perf_counter()
    early = counted([Sample(100.0, 101.0), Sample(101.0, 102.0)]).message(105.0)  # 5 s ago it began
    late = counted([Sample(9000.0, 9001.0, error="ServerOverloaded"), Sample(9000.0, 9004.0)]).message(9004.0)

    (figure,) = figures_of(early, late, now_s=here_s).all()

    assert (figure.requests, figure.failures, figure.failure_kinds) == (4, 1, {"ServerOverloaded": 1})
    assert figure.requests_per_s == pytest.approx(3 / 5, rel=0.01)
    assert figure.images_per_s == pytest.approx(12 / 5, rel=0.01)


def test_only_failures_have_no_latency():
    figures = Figures()
    figures.count(name=NAME, context={"sample": Sample(1.0, 2.0, error="ServerError"), "images": 4})

    (figure,) = figures.all()

    assert (figure.p50_ms, figure.max_ms, figure.images_per_s, figure.failures) == (None, None, 0.0, 1)


def test_after_a_reset_the_time_counts_from_it():
    figures = Figures()
    figures.reset()
    now_s = time.perf_counter()
    figures.count(name=NAME, context={"sample": Sample(now_s - 10, now_s + 1), "images": 4})

    (figure,) = figures.all()

    assert figure.requests_per_s == pytest.approx(1, rel=0.01)
    assert figure.p50_ms == pytest.approx(11000, rel=0.001)


def test_a_report_that_comes_late_does_not_prolong_the_time(monkeypatch):
    figures = Figures()
    early, late = counted([Sample(100.0, 101.0)]), counted([Sample(101.0, 102.0)])
    for record, sent_s, taken_s in ((early, 101.0, 501.0), (late, 102.0, 509.0)):  # 7 s late
        monkeypatch.setattr(time, "perf_counter", lambda taken_s=taken_s: taken_s)
        message = {NAME: record.message(sent_s)}
        figures._take(client_id="one", data={"batches": message, "batches_sent_s": sent_s, "batches_epoch": 0})

    (figure,) = figures.all()

    assert figure.requests_per_s == pytest.approx(1)


def test_what_workers_counted_before_a_reset_doesnt_count():
    now_s = time.perf_counter()
    figures = Figures()
    message = {NAME: counted([Sample(now_s - 2, now_s - 1)]).message(now_s)}
    report = {"batches": message, "batches_sent_s": now_s}
    figures.reset()

    figures._take(client_id="one", data={**report, "batches_epoch": 0})
    assert figures.all() == []
    figures._take(client_id="one", data={**report, "batches_epoch": 1})
    assert figures.all()[0].requests == 1
