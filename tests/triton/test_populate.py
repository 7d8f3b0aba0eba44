"""populate: what it publishes, what it leaves alone, and what remains when it fails or is interrupted."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import onnx
import pytest

from scripts.archive import MADE
from scripts.fetch import fetch
from scripts.pipeline import populate
from scripts.render import LABELS_FILE
from scripts.versions import onnx_path
from tests.triton.commands import interrupt, run, started, wait_for
from tests.triton.conftest import REAL, SYNTHETIC
from tritonclas import zoo

MODEL = zoo.find(SYNTHETIC)


def published(folder: Path) -> list[Path]:
    """Weights, and whatever work in progress has been left behind."""
    return [path for path in folder.rglob("*") if path.suffix == ".onnx" or path.name.startswith(".populate-")]


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Paddle inference archive as a user may have one."""
    folder = fetch(MODEL, "synthetic", tmp_path_factory.mktemp("archive")).folder
    (folder / MADE).unlink()
    return folder


def test_the_published_file_is_the_designs(repository):
    graph = onnx.load(onnx_path(REAL, repository)).graph
    (pixels,), (probabilities,) = graph.input, graph.output
    sizes = [dim.dim_param or dim.dim_value for dim in pixels.type.tensor_type.shape.dim]
    assert (pixels.name, pixels.type.tensor_type.elem_type, sizes) == (
        "pixels",
        onnx.TensorProto.UINT8,
        ["batch", 224, 224, 3],
    )
    assert probabilities.name == "probabilities"
    kinds = {node.op_type for node in graph.node}
    assert not kinds & {"BatchNormalization", "Identity", "Constant", "Slice"}


def test_a_second_time_nothing_is_done(repository):
    path = onnx_path(MODEL.name, repository)
    before = path.stat().st_mtime_ns
    done = run("-m", "scripts.populate", SYNTHETIC, "--weights", "synthetic", "--repository", repository)
    assert done.returncode == 0, done.stderr
    assert "already there" in done.stderr
    assert path.stat().st_mtime_ns == before


def test_own_weights(archive, tmp_path):
    done = run("-m", "scripts.populate", SYNTHETIC, "--weights", archive, "--repository", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "own weights" in done.stderr
    assert (tmp_path / f"{SYNTHETIC}_net" / LABELS_FILE).read_text().startswith("tench")
    assert not (repeat := populate(MODEL, str(archive), tmp_path)).difference, repeat


def test_a_configuration_that_is_there_is_kept(archive, tmp_path):
    config = tmp_path / SYNTHETIC / "config.pbtxt"
    config.parent.mkdir()
    config.write_text("# tuned")
    populate(MODEL, str(archive), tmp_path)
    assert config.read_text() == "# tuned"


@pytest.mark.parametrize(
    ("name", "weights", "message"),
    [
        ("EfficientNetB", "synthetic", "did you mean"),
        (SYNTHETIC, "sample", "sample"),
        (SYNTHETIC, "/nowhere", "no weights '/nowhere'"),
        ("EfficientNetB1", "{archive}", "240"),
    ],
    ids=["misspelt", "no sample", "no folder", "another model's"],
)
def test_what_cant_be_published_is_said_in_a_line(archive, tmp_path, name, weights, message):
    done = run("-m", "scripts.populate", name, "--weights", weights.format(archive=archive), "--repository", tmp_path)
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not published(tmp_path)


def test_corrupted_weights_are_not_published(archive, tmp_path):
    damaged = tmp_path / "damaged"
    shutil.copytree(archive, damaged)
    parameters = damaged / "inference.pdiparams"
    parameters.write_bytes(parameters.read_bytes()[:-1000])
    done = run("-m", "scripts.populate", SYNTHETIC, "--weights", damaged, "--repository", tmp_path / "models")
    assert done.returncode == 1
    assert "Error" in done.stderr
    assert not published(tmp_path / "models")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
@pytest.mark.parametrize("sign", ["inference.pdiparams", "structure.onnx"], ids=["while fetching", "while exporting"])
def test_interrupted_it_leaves_nothing(tmp_path, number, sign):
    models, temporary = tmp_path / "models", tmp_path / "temporary"
    temporary.mkdir()
    arguments = (SYNTHETIC, "--weights", "synthetic", "--repository", models)
    with started("-m", "scripts.populate", *arguments, env=os.environ | {"TMPDIR": str(temporary)}) as process:
        wait_for(lambda: any(tmp_path.rglob(sign)) or process.poll() is not None)
        assert process.poll() is None
        assert interrupt(process, number) != 0
    assert not published(models)
    assert not [path for path in temporary.iterdir() if path.is_dir()]  # Paddle itself leaves a file


def test_what_a_killed_run_left_is_removed_by_the_next(archive, tmp_path):
    left = tmp_path / MODEL.network_name / ".populate-dead"
    left.mkdir(parents=True)
    (left / "model.onnx").write_bytes(b"half")
    populate(MODEL, str(archive), tmp_path)
    assert published(tmp_path) == [onnx_path(MODEL.name, tmp_path)]
