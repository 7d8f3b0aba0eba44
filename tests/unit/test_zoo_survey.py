"""The zoo's survey: what is kept and read back, memory, and the committed page."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from scripts.errors import ScriptError
from scripts.zoo.__main__ import main
from scripts.zoo.memory import peak_memory, proportional, resident
from scripts.zoo.page import NOT_MEASURED, markdown
from scripts.zoo.record import Latency, Machine, Record, Survey, keep, kept
from scripts.zoo.row import Timing, key
from tritonclas import ServerUnavailable
from tritonclas.zoo import MODELS, Model

TIMING = Timing(warm_up_s=1.0, duration_s=2.0)
MEBIBYTE = 2**20
MACHINE = Machine(processor="Some CPU", cores=2, memory=24 * 2**30, system="Linux", versions={"onnxruntime": "1"})
RECORD = Record(
    model="EfficientNetB0",
    key=key(MODELS["EfficientNetB0"], TIMING, MACHINE),
    date="2026-01-02",
    weights="synthetic",
    onnx=21_100_000,
    fetch_s=6.44,
    fetch_peak=2**30,
    export_s=3.84,
    verify_s=8.6,
    populate_peak=3 * 2**29,
    difference=3.6e-6,
    load_s=1.8,
    served_difference=3.8e-7,
    server_memory=2**29,
    latency={size: Latency(requests=10, avg_ms=11.25 * size, p50_ms=11.0, images_per_s=88.9) for size in (1, 4, 8)},
)


def lines(page: str, name: str) -> list[list[str]]:
    """The cells of a model's line in each table of the page."""
    found = [line for line in page.splitlines() if line.startswith(f"| {name} |")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in found]


def test_a_record_is_kept_until_what_it_depends_on_changes(tmp_path: Path) -> None:
    keep(RECORD, tmp_path)
    assert kept(RECORD.model, RECORD.key, tmp_path) == RECORD
    assert kept(RECORD.model, "another", tmp_path) is None
    assert kept("EfficientNetB1", RECORD.key, tmp_path) is None


@pytest.mark.parametrize("change", [{"crop": 225}, {"max_batch_size": 8}, {"interpolation": "linear"}], ids=str)
def test_a_row_that_changes_is_measured_again(change: dict[str, object]) -> None:
    assert key(replace(MODELS["EfficientNetB0"], **change), TIMING, MACHINE) != RECORD.key  # type: ignore[arg-type]


def test_another_timing_is_measured_again() -> None:
    assert key(MODELS["EfficientNetB0"], replace(TIMING, duration_s=3.0), MACHINE) != RECORD.key


@pytest.mark.parametrize(
    "change", [{"processor": "Another"}, {"cores": 4}, {"versions": {"onnxruntime": "2"}}], ids=str
)
def test_another_machine_measures_everything_again(change: dict[str, object]) -> None:
    assert key(MODELS["EfficientNetB0"], TIMING, replace(MACHINE, **change)) != RECORD.key  # type: ignore[arg-type]


def test_the_page_says_on_which_days(tmp_path: Path) -> None:
    earlier = replace(RECORD, model="EfficientNetB1", date="2025-12-31")
    assert "- date: 2026-01-02\n" in markdown(Survey(MACHINE, (RECORD,)))
    assert "- date: 2025-12-31 to 2026-01-02\n" in markdown(Survey(MACHINE, (RECORD, earlier)))
    assert f"- date: {NOT_MEASURED}\n" in markdown(Survey(MACHINE, ()))


@pytest.mark.parametrize("error", [ServerUnavailable("gone"), ScriptError("gone"), OSError("gone")], ids=repr)
def test_a_row_that_fails_doesnt_keep_the_others_from_being_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def measure(model: Model, timing: Timing, machine: Machine, work: Path, report: Callable[[str], None]) -> Record:
        if model.name == "EfficientNetB0":
            raise error
        return replace(RECORD, model=model.name, key=key(model, timing, machine))

    monkeypatch.setattr("scripts.zoo.__main__.measure", measure)
    folders = ["--work", str(tmp_path / "work"), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(main, ["EfficientNetB0", "EfficientNetB1", *folders])
    assert done.exit_code == 1
    assert "Error: EfficientNetB0: gone" in done.output
    assert "1 of 17 models measured" in done.output
    (record,) = Survey.read(tmp_path / "out" / "zoo.json").records
    assert record.model == "EfficientNetB1"
    assert CliRunner().invoke(main, ["EfficientNetB1", *folders]).exit_code == 0


def test_fresh_measures_again_what_is_named_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = []

    def measure(model: Model, timing: Timing, machine: Machine, work: Path, report: Callable[[str], None]) -> Record:
        measured.append(model.name)
        return replace(RECORD, model=model.name, key=key(model, timing, machine))

    monkeypatch.setattr("scripts.zoo.__main__.measure", measure)
    folders = ["--work", str(tmp_path / "work"), "--out", str(tmp_path / "out")]
    for words in (["EfficientNetB0", "EfficientNetB1"], ["EfficientNetB0"], ["EfficientNetB1", "--fresh"]):
        assert CliRunner().invoke(main, [*words, *folders]).exit_code == 0
    assert measured == ["EfficientNetB0", "EfficientNetB1", "EfficientNetB1"]


@pytest.mark.parametrize("content", ["", "{}", '{"latency": {"1": {}}}', "[]"])
def test_a_damaged_record_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "EfficientNetB0.json").write_text(content)
    with pytest.raises(ScriptError, match=r"EfficientNetB0\.json is damaged .*--fresh"):
        kept("EfficientNetB0", "key", tmp_path)


def test_a_survey_is_read_as_it_was_written(tmp_path: Path) -> None:
    survey = Survey(MACHINE, (RECORD,))
    survey.write(tmp_path / "zoo.json")
    assert Survey.read(tmp_path / "zoo.json") == survey


def test_a_measured_model_s_lines() -> None:
    sizes, exported, served = lines(markdown(Survey(MACHINE, (RECORD,))), "EfficientNetB0")
    assert sizes == ["EfficientNetB0", "224", "5,288,548", "5.10", "0.77", "0.72"]
    assert exported == ["EfficientNetB0", "synthetic", "21.1", "6.4", "1.0", "3.8", "8.6", "1.5", "3.6e-06", "3.8e-07"]
    assert served[:6] == ["EfficientNetB0", "1.8", "0.50", "11.2", "45.0", "90.0"]
    assert served[6:] == ["1.96", "3.71", "5.56", "3.40", "5.96", "9.11", "3.44", "6.11", "9.33"]


def test_a_model_that_was_not_measured_says_so_and_keeps_what_is_published() -> None:
    _, exported, served = lines(markdown(Survey(MACHINE, (RECORD,))), "EfficientNetB7")
    assert exported[1:] == [NOT_MEASURED] * 9
    assert served[1:6] == [NOT_MEASURED] * 5
    assert re.fullmatch(r"[\d.]+", served[6])


def test_every_table_has_as_many_cells_as_columns() -> None:
    tables = [line for line in markdown(Survey(MACHINE, (RECORD,))).splitlines() if line.startswith("|")]
    widths = [line.count("|") for line in tables]
    assert len(widths) == 3 * (len(MODELS) + 2)
    assert sorted(set(widths)) == [7, 11, 16]


def test_the_committed_page_is_that_of_the_committed_data(root: Path) -> None:
    survey = Survey.read(root / "docs" / "zoo.json")
    assert markdown(survey) == (root / "docs" / "zoo.md").read_text(encoding="utf-8")


def test_the_committed_page_is_of_every_row_of_the_zoo(root: Path) -> None:
    survey = Survey.read(root / "docs" / "zoo.json")
    assert [record.model for record in survey.records] == list(MODELS)
    for record in survey.records:
        assert record.weights == ("sample" if MODELS[record.model].sample else "synthetic")
        assert record.populate_peak < 6 * 2**30


HOLDER = "import sys; block = b'x' * int(sys.argv[1]); print('up', flush=True); sys.stdin.read()"
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {HOLDER!r}, sys.argv[1]])"


def test_memory_is_that_of_a_process_and_what_it_starts() -> None:
    command = [sys.executable, "-c", PARENT, str(200 * MEBIBYTE)]
    started = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with started as process, peak_memory(process.pid) as peak:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        now = resident(process.pid)
        shared_out = proportional(process.pid)
        process.communicate()
    assert 200 * MEBIBYTE < shared_out <= now < 300 * MEBIBYTE
    assert peak.nbytes < 300 * MEBIBYTE
    assert resident(process.pid) == proportional(process.pid) == 0
