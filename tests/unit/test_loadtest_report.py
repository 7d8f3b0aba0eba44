"""The report: measured cells beside the published latencies, and nothing that wasn't measured."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.console import Console

from loadtest.report import COLUMNS, markdown, notes, rows, table
from loadtest.results import Results
from tests.unit.test_loadtest_results import CELL, FAILED, HEADER
from tritonclas.published import published_latencies, published_models


def row(cell) -> dict[str, str]:
    (values,) = rows(Results(HEADER, (cell,)))
    return dict(zip(COLUMNS, values, strict=True))


def test_a_row_has_the_measured_figures_and_the_published_ones_of_the_same_batch_size():
    assert row(CELL) == {
        "model": "EfficientNetB0",
        "batch": "4",
        "users": "2",
        "avg ms": "20.50",
        "p50 ms": "20.00",
        "p99 ms": "24.00",
        "images/s": "400.0",
        "requests": "1000",
        "failures": "1",
        "V100 FP32 ms": "3.71",
        "T4 FP16 ms": "5.96",
        "T4 FP32 ms": "6.11",
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
    assert list(row(replace(CELL, **changes)).values())[-3:] == ["-", "-", "-"]


def test_a_cell_of_failures_only_has_no_latency():
    found = row(FAILED)

    assert [found[column] for column in ("avg ms", "p50 ms", "p99 ms")] == ["-", "-", "-"]
    assert (found["requests"], found["failures"]) == ("7", "7")
    assert "EfficientNetB0, batch 4, 2 users: 7 of 7 requests failed (ServerError 7)." in notes(
        Results(HEADER, (FAILED,))
    )


def test_only_measured_cells_are_shown():
    assert len(rows(Results(HEADER))) == 0
    assert [values[1] for values in rows(Results(HEADER, (CELL, replace(CELL, batch_size=8))))] == ["4", "8"]


def test_random_weights_are_marked_and_explained():
    synthetic = replace(CELL, synthetic=True)

    assert row(synthetic)["model"] == "EfficientNetB0*"
    assert any("Random weights" in note for note in notes(Results(HEADER, (synthetic,))))
    assert not any("Random weights" in note for note in notes(Results(HEADER, (CELL,))))


def test_notes_say_what_the_figures_are_of():
    origin = notes(Results(HEADER, (CELL,)))[0]

    assert "of the network alone on that GPU" in origin
    assert "end to end from the client, the server being on: Tesla T4" in origin


def test_a_busy_generator_is_pointed_out():
    busy = replace(CELL, generator_cpu_percent=97.0)

    assert any("used 97 % of a core" in note for note in notes(Results(HEADER, (busy,))))
    assert not any("of a core" in note for note in notes(Results(HEADER, (CELL,))))


def test_markdown_has_the_conditions_above_and_the_notes_below():
    text = markdown(Results(replace(HEADER, device="a|b"), (replace(CELL, model="ResNeXt101_32x8d_wsl"),)))

    lines = text.splitlines()
    head, body = lines.index("- profile: t4-fp16"), lines.index("|" + " --- |" + " ---: |" * (len(COLUMNS) - 1))
    assert lines[0] == "# Load test"
    assert "- measured: 10 s a cell after 3 s of warm-up" in lines
    assert "- input: encoded" in lines
    assert head < body < next(at for at, line in enumerate(lines) if line.startswith("- V100"))
    assert lines[body + 1].startswith("| ResNeXt101\\_32x8d\\_wsl | 4 | 2 | 20.50 |")
    assert lines[body + 1].count("|") == len(COLUMNS) + 1
    assert text.endswith(".\n")


def test_the_terminals_table_says_the_same():
    results = Results(replace(HEADER, device="[t4]"), (CELL, replace(FAILED, model="[mine]")))
    console = Console(width=160)
    with console.capture() as captured:
        console.print(table(results))

    shown = captured.get()
    words = shown.split()
    assert {word for values in rows(results) for word in values} <= set(words)
    assert {word for column in COLUMNS for word in column.split()} <= set(words)
    assert "server: Triton 2.51.0 · profile: t4-fp16 · device: [t4] · client: tritonclas 0.1.0" in shown
    assert "(ServerOverloaded 1)" in shown
