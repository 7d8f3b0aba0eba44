"""The survey of the zoo on the real server: a row is measured once, and an interrupted survey goes on."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from scripts.zoo.page import NOT_MEASURED
from scripts.zoo.record import Survey
from tests.triton.commands import interrupt, run, started, wait_for
from tests.triton.conftest import REAL, SYNTHETIC

QUICK = ("--duration", "0.3", "--warm-up", "0")


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a survey that has measured the sample."""
    folder = tmp_path_factory.mktemp("survey")
    done = run("-m", "scripts.zoo", REAL, *QUICK, "--work", folder / "work", "--out", folder / "docs")
    assert done.returncode == 0, done.stderr
    assert "1 of 17 models measured" in done.stdout
    return folder


def test_a_row_is_taken_the_whole_way(work):
    (record,) = Survey.read(work / "docs" / "zoo.json").records
    assert (record.model, record.weights) == (REAL, "sample")
    assert 0 < record.served_difference < 5e-5
    assert 0 < record.difference < 5e-5
    assert 18e6 < record.onnx < 20e6
    assert 2**28 < record.populate_peak < 2**32
    assert 2**27 < record.server_memory < 2**32
    assert list(record.latency) == [1, 4, 8]
    assert all(each.requests >= 10 and each.avg_ms > 0 for each in record.latency.values())
    page = (work / "docs" / "zoo.md").read_text()
    assert f"| {REAL} | sample |" in page
    assert f"| {SYNTHETIC} | {NOT_MEASURED} |" in page


def test_nothing_but_records_is_left(work):
    assert [path.name for path in (work / "work").iterdir()] == [f"{REAL}.json"]


def test_an_interrupted_survey_keeps_what_it_has_and_goes_on(work):
    record = work / "work" / f"{REAL}.json"
    before = record.stat().st_mtime_ns
    command = ("-m", "scripts.zoo", REAL, SYNTHETIC, *QUICK, "--work", work / "work", "--out", work / "docs")
    with started(*command) as process:
        wait_for(lambda: any((work / "work" / SYNTHETIC).glob("*/*.pdiparams")) or process.poll() is not None)
        assert process.poll() is None
        assert interrupt(process, signal.SIGINT) != 0
    assert [path.name for path in (work / "work").iterdir()] == [f"{REAL}.json"]
    done = run(*command)
    assert done.returncode == 0, done.stderr
    assert "2 of 17 models measured" in done.stdout
    assert record.stat().st_mtime_ns == before
