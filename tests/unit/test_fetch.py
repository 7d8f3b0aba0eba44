"""Weights that are made, and weights of one's own: what comes of them, and what is refused."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from scripts import sample
from scripts.archive import MADE
from scripts.assemble import assemble
from scripts.errors import ArchiveError
from scripts.fetch import copy, fetch, main
from scripts.networks import build_logits
from scripts.quiet_paddle import paddle
from tests.unit.tar_files import WHOLE, tar
from tritonclas import zoo
from tritonclas.preprocess import Preprocessing
from tritonclas.published import imagenet_labels

B0, LITE0 = zoo.find("EfficientNetB0"), zoo.find("EfficientNetLite0")
TINY = replace(B0, name="Tiny", network=zoo.EfficientNet(width=0.25, depth=0.3), crop=64, classes=10)


def predict(folder: Path, pixels: np.ndarray) -> np.ndarray:
    layer = paddle.jit.load(str(folder / "inference"))
    layer.eval()
    answer: np.ndarray = layer(paddle.to_tensor(pixels)).numpy()
    return answer


@pytest.fixture(scope="module")
def lite0(tmp_path_factory: pytest.TempPathFactory) -> Path:
    archive = fetch(LITE0, "sample", tmp_path_factory.mktemp("sample"))
    assert (archive.kind, archive.program.name) == ("sample", "inference.json")
    return archive.folder


@pytest.mark.parametrize(("picture", "label"), [("cat", "tiger cat"), ("espresso", "espresso"), ("rocket", "missile")])
def test_the_sample_model_recognises_the_examples(
    lite0: Path, examples: dict[str, Path], picture: str, label: str
) -> None:
    pixels = Preprocessing(256, 224, "cubic")(examples[picture].read_bytes())
    normal = ((pixels / 255 - LITE0.mean) / LITE0.std).transpose(2, 0, 1)[None].astype(np.float32)

    (probabilities,) = predict(lite0, normal)

    assert imagenet_labels()[probabilities.argmax()] == label
    assert probabilities.sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda state: state.pop("fc.bias"), "fc.bias"),
        (lambda state: state.update(stranger=np.zeros(1)), "stranger"),
        (lambda state: state.update({"fc.bias": np.zeros(9)}), "(9,)"),
    ],
    ids=["missing", "unknown", "shape"],
)
def test_weights_that_dont_fit_are_refused(change: Callable[[dict[str, Any]], Any], named: str) -> None:
    layer = build_logits(TINY)
    state = {name: tensor.numpy() for name, tensor in layer.state_dict().items()}
    change(state)

    with pytest.raises(ArchiveError, match="aren't a pair") as caught:
        sample.set_state(layer, state)
    assert named in caught.value.message


@pytest.mark.parametrize("name", ["_blocks.0._unknown.weight", "stranger.weight", "_fc.unknown", "other.0._bn1.bias"])
def test_a_weight_that_efficientnet_doesnt_have_is_refused(name: str) -> None:
    with pytest.raises(ArchiveError, match="doesn't have"):
        sample.paddle_name(name)


def test_a_missing_package_is_named() -> None:
    row = replace(zoo.find("EfficientNetLite0"), sample="no_such_package")

    with pytest.raises(ArchiveError, match="no_such_package isn't installed; run make setup"):
        sample.weights_file(row)


def test_a_synthetic_archive_answers_the_same_each_time_it_is_made(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).standard_normal((3, 3, 64, 64), np.float32)

    first = assemble(TINY, "synthetic", tmp_path / "first")
    again = assemble(TINY, "synthetic", tmp_path / "again")

    assert first.program.name == "inference.json"
    assert first.parameters.read_bytes() == again.parameters.read_bytes()
    answers = predict(first.folder, pixels)
    assert answers.shape == (3, 10)
    np.testing.assert_array_equal(answers, predict(again.folder, pixels))
    np.testing.assert_allclose(answers.sum(1), 1, atol=1e-5)


def test_an_archive_takes_its_predecessor_s_place(tmp_path: Path) -> None:
    folder = tmp_path / "Tiny"
    folder.mkdir()
    for name in ("inference.pdmodel", "inference.pdiparams", "inference.pdiparams.info", "inference.yml"):
        (folder / name).touch()

    archive = fetch(TINY, "synthetic", tmp_path)

    assert archive.folder == folder
    assert {path.name for path in archive.folder.iterdir()} == {"inference.json", "inference.pdiparams", MADE}
    assert list(tmp_path.iterdir()) == [archive.folder]


@pytest.mark.parametrize("stranger", ["best_model.pdparams", "inference.json/notes", "1/model.onnx"])
def test_a_folder_with_anything_else_stays_as_it_is(own: Path, tmp_path: Path, stranger: str) -> None:
    """PaddleClas's checkpoints, say, lie in output/<architecture>."""
    kept = tmp_path / "output" / "EfficientNetB0" / stranger
    kept.parent.mkdir(parents=True)
    kept.touch()
    words = ["EfficientNetB0", "--weights", str(own), "--out", str(tmp_path / "output")]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 1
    assert f"EfficientNetB0 holds {Path(stranger).parts[0]}, which is no part of an archive" in result.output
    assert kept.exists()
    assert [path for path in kept.parents[len(Path(stranger).parts)].rglob("*") if path.is_file()] == [kept]


def test_a_file_in_its_place_stays_too(own: Path, tmp_path: Path) -> None:
    place = tmp_path / "out" / "EfficientNetB0"
    place.parent.mkdir()
    place.write_text("mine")
    result = CliRunner().invoke(main, ["EfficientNetB0", "--weights", str(own), "--out", str(place.parent)])
    assert (result.exit_code, place.read_text()) == (1, "mine")
    assert "EfficientNetB0 is no folder, and would be lost" in result.output


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "tar"])
def test_random_weights_stay_random_weights_wherever_they_are_put(tmp_path: Path, packed: bool) -> None:
    """And are never served with the names of real classes."""
    made = fetch(TINY, "synthetic", tmp_path / "made")
    copy(made, tmp_path / "copied")
    weights = tmp_path / "copied"
    if packed:
        weights = tmp_path / "copied.tar"
        with tarfile.open(weights, "w") as tar:
            tar.add(tmp_path / "copied", "copied")
    again = fetch(TINY, str(weights), tmp_path / "work")
    assert (again.kind, again.source) == (made.kind, made.source) == ("synthetic", "seeded random weights, version 1")


@pytest.mark.parametrize(
    "mark",
    ["{}", "[]", '{"kind": "official", "source": "PaddleClas"}', '{"kind": "sample", "source": 3}', '{"kind": []}'],
)
def test_a_mark_that_is_damaged_or_claims_too_much_is_refused(own: Path, tmp_path: Path, mark: str) -> None:
    """Anybody may put one into an archive; nobody makes it PaddleClas's own with that."""
    (own / MADE).write_text(mark)
    with pytest.raises(ArchiveError, match=r"made_by_tritonclas\.json is damaged"):
        fetch(TINY, str(own), tmp_path / "work")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    folder = tmp_path / "own"
    folder.mkdir()
    for name, content in WHOLE.items():
        (folder / Path(name).name).write_bytes(content)
    return folder


def test_a_folder_of_ones_own_is_opened_where_it_is(own: Path, tmp_path: Path) -> None:
    archive = fetch(B0, str(own), tmp_path / "work")

    assert (archive.folder, archive.kind, archive.source) == (own, "own", str(own))
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_tar_file_of_ones_own_is_unpacked(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "B0_infer.tar"
    path.write_bytes(tar(WHOLE, mode))

    archive = fetch(B0, str(path), tmp_path / "work")

    assert (archive.kind, archive.source) == ("own", str(path))
    assert archive.folder == tmp_path / "work" / "EfficientNetB0"
    assert archive.parameters.read_bytes() == b"weights"


@pytest.mark.parametrize(
    ("model", "weights", "message"),
    [
        (
            B0,
            "sample",
            "no sample weights of EfficientNetB0, only of EfficientNetLite0, EfficientNetLite1",
        ),
        (LITE0, "official", "PaddleClas publishes no archive of EfficientNetLite0; give --weights sample"),
        (B0, "ofical", "no weights 'ofical': give official, sample, synthetic, or the path of an archive"),
    ],
)
def test_weights_that_a_model_hasnt_are_refused(model: zoo.Model, weights: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ArchiveError) as caught:
        fetch(model, weights, tmp_path)
    assert message in caught.value.message


def test_the_command_copies_the_archive(own: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["EfficientNetB0", "--weights", str(own), "--out", str(tmp_path / "out")])

    assert result.exit_code == 0
    assert result.output == f"{tmp_path}/out/EfficientNetB0: own weights from {own}\n"
    assert (tmp_path / "out" / "EfficientNetB0" / "inference.pdmodel").read_bytes() == b"program"
    assert (own / "inference.pdmodel").exists()


def test_the_command_leaves_an_archive_that_is_in_its_place(own: Path, tmp_path: Path) -> None:
    place = own.rename(tmp_path / "EfficientNetB0")
    before = place.stat().st_ino

    result = CliRunner().invoke(main, ["EfficientNetB0", "--weights", str(place), "--out", str(tmp_path)])

    assert result.exit_code == 0
    assert place.stat().st_ino == before


def test_a_folder_that_cant_be_written_is_named(own: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    result = CliRunner().invoke(
        main, ["EfficientNetB0", "--weights", str(own), "--out", str(tmp_path / "file" / "out")]
    )

    assert result.exit_code == 1
    assert result.output.count("\n") == 1
    assert f"{tmp_path}/file/out/EfficientNetB0 can't be written (Not a directory)" in result.output
