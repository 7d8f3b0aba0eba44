"""Two sweeps beside each other: what changed, and what is noise."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner

from loadtest.cell import Generator
from loadtest.compare import changes, main
from loadtest.results import Results
from tests.unit.test_loadtest_results import CELL, FAILED, HEADER

STEADY = replace(CELL, window_images_per_s=(400.0, 404.0, 400.0), window_latency_ms=(20.0, 20.2, 20.0))
RESTLESS = replace(CELL, window_images_per_s=(100.0, 400.0, 480.0, 400.0), window_latency_ms=(1.0, 20.0, 20.0, 20.0))


def change(first, second):
    (found,) = changes(Results(HEADER, (first,)), Results(HEADER, (second,)))
    return found


@pytest.mark.parametrize(
    ("first", "factor", "verdict"),
    [
        (STEADY, 1.04, "same"),
        (STEADY, 1.06, "faster"),
        (STEADY, 0.96, "same"),
        (STEADY, 0.94, "slower"),
        (RESTLESS, 1.15, "same"),
        (RESTLESS, 1.25, "faster"),
        (RESTLESS, 0.75, "slower"),
    ],
)
def test_a_change_is_what_the_windows_own_differences_dont_explain(first, factor, verdict):
    second = replace(STEADY, images_per_s=first.images_per_s * factor)

    found = change(first, second)

    assert found.verdict == verdict
    assert found.throughput_ratio == pytest.approx(factor)
    assert found.noise == pytest.approx(0.05 if first is STEADY else 0.2)


def test_latency_counts_the_other_way_round():
    slower = replace(STEADY, latency_ms=replace(STEADY.latency_ms, avg=30.0, p99=48.0))

    assert change(STEADY, slower).verdict == "slower"
    assert change(slower, STEADY).verdict == "faster"
    assert change(STEADY, slower).p99_ratio == 2.0


def test_a_cell_without_an_answer_has_no_ratio():
    found = change(FAILED, STEADY)

    assert (found.throughput_ratio, found.latency_ratio, found.verdict) == (None, None, "answers again")
    assert change(STEADY, FAILED).verdict == "fails"
    assert change(FAILED, FAILED).verdict == "fails, as before"


def test_a_window_without_an_answer_leaves_nothing_to_be_told_from_noise():
    hung = replace(STEADY, window_images_per_s=(400.0, 0.0, 400.0), images_per_s=100.0)

    found = change(STEADY, hung)

    assert (found.noise, found.verdict) == (None, "unclear")


def test_what_makes_a_cell_doubtful_is_named():
    second = replace(STEADY, stable=False, saturated=True, generator=Generator(cpu_percent=99.0, bound=("it was",)))

    found = change(STEADY, replace(second, failures=3, other_requests=5, synthetic=not STEADY.synthetic))

    weights = "second" if not STEADY.synthetic else "first"
    assert [each for each in found.doubts if each != "first with failures"] == [
        "second unstable",
        "second saturated",
        "second generator-bound",
        "second with failures",
        "second beside other requests",
        f"{weights} with synthetic weights",
    ]


def test_cells_of_one_sweep_only_are_counted_and_conditions_that_differ_named(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    for folder, header, cells in (
        (one, HEADER, (STEADY, replace(STEADY, users=8))),
        (two, replace(HEADER, device="Tesla V100"), (replace(STEADY, images_per_s=800.0),)),
    ):
        folder.mkdir()
        Results(header, cells).write(folder)
    paths = [str(one / "results.json"), str(two / "results.json")]

    shown = CliRunner().invoke(main, paths)
    told = CliRunner().invoke(main, [*paths, "--json"])

    assert shown.exit_code == 0
    assert "device: Tesla T4 | Tesla V100" in shown.output
    assert "faster" in shown.output
    assert "1 cells are only in the first" in shown.output
    (cell,) = json.loads(told.output)
    assert (cell["verdict"], cell["throughput_ratio"]) == ("faster", 2.0)


def test_what_is_no_results_file_is_one_line(tmp_path):
    done = CliRunner().invoke(main, [str(tmp_path / "a"), str(tmp_path / "b")])

    assert done.exit_code == 1
    assert "can't be read (No such file or directory)" in done.output
