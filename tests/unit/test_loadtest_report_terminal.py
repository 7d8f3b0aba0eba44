"""The report's table for a terminal."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.console import Console

from loadtest.report import table
from loadtest.report.terminal import COLUMNS, notes, rows
from loadtest.results import Objective, Results
from tests.unit.test_loadtest_results import CELL, FAILED, HEADER, RATED
from tritonclas.published import published_latencies, published_models


def row(cell) -> dict[str, str]:
    (values,) = rows(Results(HEADER, (cell,)))
    return dict(zip(COLUMNS, values, strict=True))


def test_a_row_has_the_measured_figures_and_the_published_ones_of_the_same_batch_size():
    assert row(replace(CELL, stable=False)) == {
        "model": "EfficientNetB0",
        "batch": "4",
        "load": "2 users",
        "input": "encoded",
        "images/s": "400.0",
        "avg ms": "20.50",
        "p50 ms": "20.00",
        "p95 ms": "23.00",
        "p99 ms": "24.00",
        "requests": "1000",
        "failures": "1",
        "V100 FP32 ms": "3.71",
        "T4 FP16 ms": "5.96",
        "T4 FP32 ms": "6.11",
        "marks": "unstable",
    }


@pytest.mark.parametrize("name", published_models())
@pytest.mark.parametrize("batch_size", [1, 4, 8])
@pytest.mark.parametrize("gpu", [("V100", "fp32"), ("T4", "fp16"), ("T4", "fp32")])
def test_published_columns_are_the_documents(name, batch_size, gpu):
    value = published_latencies()[(name, *gpu, batch_size)]

    shown = row(replace(CELL, model=name, batch_size=batch_size))[f"{gpu[0]} {gpu[1].upper()} ms"]

    assert shown == ("-" if value is None else f"{value:.2f}")


@pytest.mark.parametrize("changes", [{"model": "mine"}, {"batch_size": 2}])
def test_what_isnt_published_is_a_dash(changes):
    assert list(row(replace(CELL, **changes)).values())[-4:-1] == ["-", "-", "-"]


def test_a_cell_of_failures_only_has_no_latency():
    found = row(FAILED)

    assert [found[column] for column in ("avg ms", "p50 ms", "p99 ms")] == ["-", "-", "-"]
    assert (found["requests"], found["failures"], found["marks"]) == ("7", "7", "all failed")
    said = notes(Results(HEADER, (FAILED,)))
    assert "  EfficientNetB0, batch 4, 2 users: 7 of 7 requests failed (ServerError 7)" in said


def test_random_weights_are_marked_and_explained():
    synthetic = replace(CELL, synthetic=True)

    assert row(synthetic)["model"] == "EfficientNetB0*"
    assert any("(random) weights" in note for note in notes(Results(HEADER, (synthetic,))))
    assert not any("(random) weights" in note for note in notes(Results(HEADER, (CELL,))))


def test_notes_say_what_the_figures_are_of():
    origin = notes(Results(HEADER, (CELL,)))[0]

    assert "of the network alone on that GPU" in origin
    assert "end to end from the client, the server being on: Tesla T4" in origin


def test_of_many_cells_some_are_named():
    cells = tuple(replace(CELL, users=users) for users in range(1, 8))

    said = notes(Results(HEADER, cells))

    assert "  EfficientNetB0, batch 4, 1 user: 1 of 1,000 requests failed (ServerOverloaded 1)" in said
    assert said[-1] == "  … and 4 more"


def test_objectives_stand_below():
    held = Objective(
        model="EfficientNetB0",
        batch_size=4,
        input="encoded",
        quantile="p99",
        limit_ms=50.0,
        rate_per_s=80.0,
        broken_per_s=None,
    )
    said = notes(Results(HEADER, (RATED,), (held, replace(held, rate_per_s=None))))

    what = "EfficientNetB0, batch 4, encoded, p99 at most 50 ms: "
    assert said[-2:] == [f"{what}80.0 requests/s held it, 320.0 images/s", f"{what}no rate held it"]


def test_the_table_has_the_conditions_above_and_the_notes_below():
    results = Results(replace(HEADER, device="[t4]"), (CELL, replace(FAILED, model="[mine]")))
    console = Console(width=190)
    with console.capture() as captured:
        console.print(table(results))

    shown = captured.get()
    found = shown.split()
    assert {word for values in rows(results) for value in values for word in value.split()} <= set(found)
    assert {word for column in COLUMNS for word in column.split()} <= set(found)
    said = (
        "server: Triton 2.51.0 · profile: t4-fp16 · device: [t4] · GPU: no GPU, or unknown · client: tritonclas 0.1.0"
    )
    assert said in shown
    assert "(ServerOverloaded 1)" in shown


def test_long_names_arent_cut_at_the_width_that_the_sweep_prints():
    longest = replace(
        CELL,
        model="Fix_ResNeXt101_32x48d_wsl",
        input="encoded-shm",
        users=None,
        rate_per_s=1234.5,
        images_per_s=12345.6,
        stable=False,
        saturated=True,
        synthetic=True,
        other_requests=3,
    )
    console = Console(width=190)
    with console.capture() as captured:
        console.print(table(Results(HEADER, (longest,))))

    shown = captured.get()
    assert "Fix_ResNeXt101_32x48d_wsl* " in shown
    assert "encoded-shm" in shown
    assert "…" not in shown
