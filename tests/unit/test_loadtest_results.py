"""results.json: what goes in comes out, and what is no such file is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from loadtest.cell import Cell, Generator, SizeClass
from loadtest.errors import LoadTestError
from loadtest.results import Header, Objective, Results, write_whole
from loadtest.samples import Latency

HEADER = Header(
    server_version="2.51.0",
    profile="t4-fp16",
    device="Tesla T4",
    client_version="0.1.0",
    date="2025-01-31T12:00:00+00:00",
    duration_s=10.0,
    warm_up_s=3.0,
)
CELL = Cell(
    model="EfficientNetB0",
    batch_size=4,
    users=2,
    synthetic=False,
    images_per_s=400.0,
    requests_per_s=100.0,
    latency_ms=Latency(avg=20.5, p50=20.0, p90=22.0, p95=23.0, p99=24.0, max=30.0),
    requests=1000,
    failures=1,
    failure_kinds={"ServerOverloaded": 1},
    generator_cpu_percent=12.5,
)
RATED = replace(
    CELL,
    users=None,
    rate_per_s=100.0,
    arrivals="poisson",
    input="pixels-shm",
    quantiles_ms=(10.0, 20.0, 30.0),
    stable=True,
    windows=3,
    window_images_per_s=(390.0, 400.0, 410.0),
    window_latency_ms=(20.0, 21.0, 20.5),
    generator=Generator(cpu_percent=12.5, loop_lag_ms=0.4, late_start_ms=0.2),
    server_ms={
        "queue": 1.0,
        "preprocess": 4.0,
        "network_queue": 0.5,
        "compute_input": 0.1,
        "compute_infer": 12.0,
        "compute_output": 0.1,
    },
    server_total_ms=18.0,
    outside_ms=2.5,
    batch_sizes={"4": 80, "8": 10},
    hardware={"gpu_utilization": 0.8, "gpu_power_usage": 65.0},
    by_size={"up to 0.3 MP": SizeClass(requests=1000, images_per_s=400.0, latency_ms=CELL.latency_ms)},
)
FAILED = replace(
    CELL,
    images_per_s=0.0,
    requests_per_s=0.0,
    latency_ms=None,
    requests=7,
    failures=7,
    failure_kinds={"ServerError": 7},
)


@pytest.mark.parametrize("cells", [(), (CELL,), (RATED, replace(FAILED, users=1))])
def test_results_are_read_as_they_were_written(tmp_path, cells):
    objective = Objective(
        model="EfficientNetB0",
        batch_size=1,
        input="encoded",
        quantile="p99",
        limit_ms=50.0,
        rate_per_s=80.0,
        broken_per_s=None,
    )
    results = Results(HEADER, cells, (objective,))

    results.write(tmp_path)

    assert Results.read(tmp_path / "results.json") == results
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_the_file_has_the_documented_fields(tmp_path):
    Results(HEADER).with_cell(CELL).write(tmp_path)

    content = json.loads((tmp_path / "results.json").read_text())

    assert set(content) == {"header", "cells", "objectives"}
    assert {"server_version", "profile", "device", "client_version", "date", "duration_s", "warm_up_s"} < set(
        content["header"]
    )
    (cell,) = content["cells"]
    assert {
        *("model", "batch_size", "users", "images_per_s", "requests_per_s", "latency_ms", "server_ms"),
        *("requests", "failures", "stable", "windows", "generator_cpu_percent"),
        *("input", "synthetic", "failure_kinds"),
    } < set(cell)
    assert set(cell["latency_ms"]) == {"avg", "p50", "p90", "p95", "p99", "max"}
    assert (cell["server_ms"], cell["stable"], cell["windows"]) == (None, None, 1)


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "results.json"
    write_whole(path, "old")
    monkeypatch.setattr("os.replace", _refuse)
    monkeypatch.setattr("pathlib.Path.replace", _refuse)

    with pytest.raises(LoadTestError, match=r"results\.json can't be written \(No space left\); give --out another"):
        write_whole(path, "new")

    assert path.read_text() == "old"


def _refuse(*_: object) -> None:
    raise OSError(28, "No space left")


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"header": {}, "cells": []}', '{"header": {"colour": 1}, "cells": []}']
)
def test_what_is_no_results_file_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "results.json"
    path.write_text(content)

    with pytest.raises(LoadTestError, match=r"results\.json isn't the results\.json of a sweep") as caught:
        Results.read(path)

    assert "\n" not in str(caught.value)


def test_a_file_that_isnt_there(tmp_path):
    with pytest.raises(LoadTestError, match="can't be read"):
        Results.read(tmp_path / "results.json")


def test_summaries():
    assert CELL.summary == (
        "EfficientNetB0, batch 4, 2 users: 400.0 images/s, median 20.0 ms, 1 of 1000 requests failed"
    )
    assert replace(FAILED, users=1).summary == "EfficientNetB0, batch 4, 1 user: 0.0 images/s, 7 of 7 requests failed"
    assert (CELL.failed, FAILED.failed) == (False, True)
