"""The README's first command, and its end at any moment."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import onnx
import pytest

from scripts.pipeline import populate
from scripts.quickstart import populate_first
from scripts.versions import onnx_path
from tests.triton.commands import interrupt, read_until, run, started
from tritonclas import zoo

NOBODY_THERE = "http://127.0.0.1:9"  # the discard port: refused at once


@pytest.fixture(scope="module")
def populated(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What quickstart itself would populate, so that each test needn't."""
    folder = tmp_path_factory.mktemp("quickstart") / "models"
    shutil.copytree(repository, folder)
    populate(zoo.find("EfficientNetB0"), "synthetic", folder)
    return folder


@pytest.fixture
def command(populated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[object, ...]:
    monkeypatch.setenv("TRITONCLAS_ARCHIVES", NOBODY_THERE)
    return ("-m", "scripts.quickstart", "--repository", populated, "--duration", 0.3, "--out", tmp_path / "report")


def test_quickstart(command, tmp_path):
    done = run(*command)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "tiger cat" in done.stdout
    assert "espresso" in done.stdout
    assert "synthetic weights: class" in done.stdout
    cells = json.loads((tmp_path / "report" / "results.json").read_text())["cells"]
    asked = [(cell["model"], cell["batch_size"]) for cell in cells]
    assert asked == [(name, size) for name in ("EfficientNetLite0", "EfficientNetB0") for size in (1, 4, 8)]
    assert all(cell["requests"] and not cell["failures"] for cell in cells)
    assert [cell["synthetic"] for cell in cells] == [False] * 3 + [True] * 3
    report = (tmp_path / "report" / "report.md").read_text()
    assert "| 3.40 |" in report  # EfficientNetB0, batch size 1, T4, FP16, as published


@pytest.mark.slow
def test_without_the_official_weights_it_says_so(repository, tmp_path):
    folder = tmp_path / "models"
    shutil.copytree(repository, folder)
    command = ("-m", "scripts.quickstart", "--repository", folder, "--out", tmp_path)
    with started(*command, env={**os.environ, "TRITONCLAS_ARCHIVES": NOBODY_THERE}) as process:
        read_until(process, "no official weights .*can't be reached")
        read_until(process, "EfficientNetB0: published .*synthetic weights")
        assert interrupt(process) != 0


@pytest.mark.parametrize("kind", ["official", "own", "synthetic"])
def test_weights_that_are_there_are_kept_whatever_they_are(populated, tmp_path, kind):
    models = tmp_path / "models"
    shutil.copytree(populated, models)
    path = onnx_path("EfficientNetB0", models)
    changed = onnx.load(path)
    next(entry for entry in changed.metadata_props if entry.key == "weights").value = kind
    onnx.save(changed, path)
    before = path.stat().st_mtime_ns
    assert populate_first(models).origin.kind == kind
    assert path.stat().st_mtime_ns == before


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["2/4", "ready: gRPC", "cat.jpg", "4/4", "batch 1, 1 user"])
def test_interrupted_it_leaves_no_process(command, moment):
    with started(*command) as process:
        read_until(process, moment)
        assert interrupt(process) != 0
