"""populate is killed at every moment: what is there can be served, and the next run finishes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from scripts import export as export_module
from scripts import onnx_file
from scripts import verify as verify_module
from scripts.archive import Archive
from scripts.embedded import EmbeddedServer
from scripts.errors import ScriptError
from scripts.inventory import inventory
from scripts.onnx_file import model_file
from scripts.own import Own
from scripts.parameters import read_parameters
from scripts.pipeline import populate
from scripts.repository import check_servable
from scripts.versions import onnx_path
from tests.remembering import remembering
from tests.triton.commands import run
from tests.triton.killing import AFTER_RENAME, BEFORE_RENAME, CONFIGURING, MOMENTS, PUBLISHED, Work, killed_at, stop
from tritonclas import Classifier, ModelServer
from tritonclas.preprocess import Preprocessing

NAME = "flowers"
TINY_PADDLE = Path(__file__).parents[1] / "unit" / "tiny_paddle.py"
#: From here on the new weights are there.
RENAMED = (AFTER_RENAME, PUBLISHED)


@pytest.fixture(scope="module", autouse=True)
def nothing_is_left_running() -> Iterator[None]:
    yield
    stop()


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("answers")


@pytest.fixture(autouse=True)
def paddle_is_asked_once(monkeypatch: pytest.MonkeyPatch, known: Path) -> None:
    for module in (export_module, verify_module):
        monkeypatch.setattr(module, "run_child", remembering(known))


@pytest.fixture(scope="module")
def old_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archives")
    subprocess.run([sys.executable, str(TINY_PADDLE), str(folder)], check=True, capture_output=True)
    return folder / "json"


@pytest.fixture(scope="module")
def new_weights(old_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same archive with ten weights changed."""
    folder = shutil.copytree(old_weights, tmp_path_factory.mktemp("other") / "export")
    archive = Archive.open(folder, "own", "tests")
    place = next(parameter for parameter in read_parameters(archive) if parameter.name == "linear_0.w_0")
    with archive.parameters.open("r+b") as file:
        file.seek(place.offset)
        file.write(np.full(10, 3, "f4").tobytes())
    return folder


def own(folder: Path, kind: str) -> Own:
    labels = folder / f"{kind}.txt"
    labels.write_text("".join(f"{kind} {index}\n" for index in range(10)))
    return Own(name=NAME, labels=labels)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def populated(models: Path, old_weights: Path, tmp_path: Path, limits: dict[str, int]) -> Path:
    """A repository that holds the model with other weights."""
    populate(own(tmp_path, "old"), str(old_weights), models)
    return models


def answer(models: Path) -> np.ndarray:
    """What the published file answers, which is proof that it is whole."""
    session = onnxruntime.InferenceSession(model_file(onnx_path(NAME, models)))
    pixels = np.random.default_rng(3).integers(0, 256, (1, 32, 32, 3), np.uint8)
    return session.run(None, {"pixels": pixels})[0]


def labels(models: Path) -> str:
    return (models / f"{NAME}_net" / "labels.txt").read_text()


@pytest.fixture(params=[{}, {"LARGEST_MESSAGE": 100, "_SMALLEST_OUTSIDE": 100}], ids=["one file", "two files"])
def limits(request, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """From how many bytes on weights go into a file of their own."""
    for name, limit in request.param.items():
        monkeypatch.setattr(onnx_file, name, limit)
    return request.param


@pytest.fixture
def kill(new_weights: Path, models: Path, known: Path, tmp_path: Path, limits: dict[str, int]) -> Callable[[str], None]:
    """Populates with the new weights until a moment."""
    elsewhere = tmp_path / "scratch"
    elsewhere.mkdir()
    work = Work(own(tmp_path, "new"), new_weights, models, known, elsewhere, limits)

    def at(moment: str) -> None:
        assert killed_at(moment, work)
        assert not list(elsewhere.iterdir()), "the next run doesn't look there"

    return at


def finish(moment: str, weights: Path, models: Path) -> np.ndarray:
    """The next run does what is left to do, and leaves nothing behind; what is served then."""
    done = populate(own(models.parent, "new"), str(weights), models)
    assert (done.difference is None) == (moment in RENAMED)
    check_servable(NAME, models)
    (entry,) = inventory(models)
    assert (entry.fault, entry.origin) == (None, done.origin)
    assert labels(models).startswith("new 0\nnew 1\n")
    assert not [path for path in models.rglob(".*") if path.name != ".lock"]
    files = onnx_path(NAME, models)
    assert not files.is_dir() or len(list(files.iterdir())) == 2
    return answer(models)


@pytest.fixture(scope="module")
def new_answer(new_weights: Path, known: Path, tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """What the new weights answer when nobody is killed."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        for module in (export_module, verify_module):
            patch.setattr(module, "run_child", remembering(known))
        populate(own(folder, "new"), str(new_weights), folder / "models")
    return answer(folder / "models")


@pytest.mark.parametrize("moment", MOMENTS)
def test_in_a_fresh_repository(models, kill, new_weights, new_answer, moment):
    kill(moment)
    if moment in RENAMED:
        check_servable(NAME, models)
        assert np.array_equal(answer(models), new_answer)
        assert labels(models).startswith("new 0")
    else:
        with pytest.raises(ScriptError, match="has no model"):
            check_servable(NAME, models)
    (entry,) = inventory(models)
    assert entry.populated == (moment in RENAMED)
    assert np.array_equal(finish(moment, new_weights, models), new_answer)


@pytest.mark.parametrize("moment", [moment for moment in MOMENTS if moment != CONFIGURING])
def test_in_a_repository_that_has_the_model_with_other_weights(populated, kill, new_weights, new_answer, moment):
    old_answer = answer(populated)
    assert not np.array_equal(old_answer, new_answer)
    kill(moment)
    check_servable(NAME, populated)
    (entry,) = inventory(populated)
    assert entry.fault is None
    assert np.array_equal(answer(populated), new_answer if moment in RENAMED else old_answer)
    assert labels(populated).startswith("new 0" if moment == PUBLISHED else "old 0")
    assert np.array_equal(finish(moment, new_weights, populated), new_answer)


def test_a_server_serves_what_a_killed_populate_left_and_then_the_new_weights(
    populated, kill, new_weights, tmp_path, examples
):
    before = expected(populated, examples)
    kill(BEFORE_RENAME)
    with (
        EmbeddedServer([NAME], populated) as server,
        ModelServer(server.url) as control,
        Classifier(server.url, NAME) as classifier,
    ):
        assert np.allclose(classifier.probabilities(examples.values()), before, atol=1e-6)
        arguments = (NAME, "--weights", new_weights, "--labels", tmp_path / "new.txt", "--repository", populated)
        done = run("-m", "scripts.populate", *arguments)
        assert (done.returncode, "published" in done.stderr) == (0, True), done.stderr
        control.load(f"{NAME}_net")
        after = expected(populated, examples)
        assert np.abs(after - before).max() > 0.01
        assert np.allclose(classifier.probabilities(examples.values()), after, atol=1e-6)
        assert classifier.classify(examples["cat"]).top.name.startswith("new")


def expected(models: Path, examples: dict[str, Path]) -> np.ndarray:
    """What the published file answers to the examples."""
    preprocess = Preprocessing(37, 32, "linear")
    pixels = np.stack([preprocess(path.read_bytes()) for path in examples.values()])
    return onnxruntime.InferenceSession(model_file(onnx_path(NAME, models))).run(None, {"pixels": pixels})[0]
