"""python -m loadtest.report: the report anew, of one sweep or of several."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from loadtest.report.__main__ import main
from loadtest.results import Results
from tests.report_tables import of_html
from tests.unit.test_loadtest_results import CELL, HEADER

ROOT = Path(__file__).parents[2]


@pytest.fixture
def sweeps(tmp_path):
    """Two folders with results: t4-fp16 and t4-fp32."""
    folders = []
    for profile in ("t4-fp16", "t4-fp32"):
        header = replace(HEADER, gpu="Tesla T4", profile=profile)
        folder = tmp_path / profile
        folder.mkdir()
        Results(header, (replace(CELL, users=1, input="pixels"),)).write(folder)
        folders.append(folder)
    return folders


def run(*arguments):
    return CliRunner().invoke(main, [str(each) for each in arguments])


def test_one_sweeps_report_goes_into_its_folder(sweeps):
    done = run(sweeps[0] / "results.json")

    assert done.exit_code == 0, done.output
    assert done.output.split() == [str(sweeps[0] / "report.md"), str(sweeps[0] / "report.html")]
    assert "t4-fp16" in (sweeps[0] / "report.md").read_text()


def test_several_sweeps_are_columns_of_one_report(sweeps, tmp_path):
    done = run(*sweeps, "--out", tmp_path / "new" / "both")

    assert done.exit_code == 0, done.output
    tables = of_html((tmp_path / "new" / "both" / "report.html").read_text())
    (row,) = [row for row in tables["latency-t4"] if row[0] == "EfficientNetB0"]
    assert row[3:] == [
        *("3.40", "not measured", "5.96", "20.50!", "9.11", "not measured"),
        *("3.44", "not measured", "6.11", "20.50!", "9.33", "not measured"),
    ]


def test_the_same_sweep_given_twice_is_one(sweeps):
    done = run(sweeps[0], sweeps[0] / "results.json")

    assert done.exit_code == 0, done.output
    assert "run A" not in (sweeps[0] / "report.md").read_text()


def test_several_sweeps_need_a_folder(sweeps):
    done = run(*sweeps)

    assert done.exit_code == 2
    assert "give --out a folder" in done.output


@pytest.mark.parametrize(("content", "message"), [(None, "can't be read"), ("{}", "isn't the results.json of a sweep")])
def test_what_cant_be_read_is_one_line(tmp_path, content, message):
    path = tmp_path / "results.json"
    if content:
        path.write_text(content)

    done = run(path)

    assert done.exit_code == 1
    assert message in done.output
    assert len(done.output.splitlines()) == 1


def test_a_folder_that_cant_be_made_is_one_line(sweeps):
    done = run(sweeps[0], "--out", sweeps[0] / "results.json" / "below")

    assert done.exit_code == 1
    assert "can't be made" in done.output
    assert len(done.output.splitlines()) == 1


def test_help_has_an_example():
    assert "python -m loadtest.report reports/t4-fp16/results.json" in run("--help").output


def test_the_report_in_docs_is_of_the_results_beside_it(tmp_path):
    folder = ROOT / "docs" / "loadtest"
    done = run(*(folder / name / "results.json" for name in ("zoo", "loads", "mix")), "--out", tmp_path)

    assert done.exit_code == 0, done.output
    assert (tmp_path / "report.md").read_text() == (folder / "report.md").read_text()
    assert "Triton" in (folder / "report.html").read_text()
