"""Users' own models, of architectures that the zoo lacks: they work in every place in which a row of the zoo does."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from scripts.archive import MADE
from scripts.assemble import assemble
from scripts.children import run_child
from scripts.embedded import EmbeddedServer
from scripts.render import differences, render, write
from scripts.verify import TOLERANCE_OTHERWISE
from tests.triton.commands import run
from tritonclas import Classifier, zoo
from tritonclas.preprocess import Preprocessing
from tritonclas.served import IMAGENET_MEAN, IMAGENET_STD, Triple


@dataclass(frozen=True)
class Case:
    """A model of a user's; `preprocess` and the rest is what must come of its archive and the options."""

    name: str
    preprocess: Preprocessing
    labels: tuple[str, ...]
    largest_batch: int = 8
    mean: Triple = IMAGENET_MEAN
    std: Triple = IMAGENET_STD


#: Old-style .pdmodel, 192 pixels, softmax, labels as PaddleClas numbers them.
MOBILENET = Case("my_mobilenet", Preprocessing(219, 192, "linear"), tuple(f"kind {index}" for index in range(17)))
#: A tar file, no softmax, labels that are hard to carry; prepared like EfficientNetB0.
RESNET = Case(
    "My-ResNet.18",
    Preprocessing(256, 224, "cubic"),
    ("a: b", "gänse", "月季", "tulip, red", "no"),
    largest_batch=4,
)
#: 128 pixels, and an inference.yml that says everything.
PPLCNET = Case(
    "lcnet", Preprocessing(140, 128, "cubic"), ("daisy", "rose", "tulip"), mean=(0.5, 0.45, 0.4), std=(0.3, 0.25, 0.2)
)
CASES = (MOBILENET, RESNET, PPLCNET)
#: The command that the wheel installs.
TRITONCLAS = "from tritonclas.cli import main; main()"
each_model = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)

INFERENCE_YML = """\
Global:
  model_name: PP-LCNet_x0_25
PreProcess:
  transform_ops:
  - ResizeImage:
      resize_short: 140
      interpolation: bicubic
  - CropImage:
      size: 128
  - NormalizeImage:
      channel_num: 3
      mean: [0.5, 0.45, 0.4]
      order: ''
      scale: 0.00392156862745098
      std: [0.3, 0.25, 0.2]
  - ToCHWImage: null
PostProcess:
  Topk:
    topk: 5
    label_list: [daisy, rose, tulip]
"""


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exports")
    program = Path(__file__).with_name("own_networks.py")
    subprocess.run([sys.executable, str(program), str(folder)], check=True, capture_output=True)
    (folder / "pplcnet" / "inference.yml").write_text(INFERENCE_YML)
    with tarfile.open(folder / "resnet18.tar", "w") as tar:
        tar.add(folder / "resnet18", "resnet18_infer")
    numbered = [f"{index} {label}" for index, label in enumerate(MOBILENET.labels)]
    (folder / "mobilenet.txt").write_text("\n".join(numbered))
    (folder / "resnet18.txt").write_text("\n".join(RESNET.labels), encoding="utf-8")
    return folder


def options(case: Case, archives: Path) -> Sequence[object]:
    """How the user populates it."""
    if case is MOBILENET:
        return ("--weights", archives / "mobilenet", "--labels", archives / "mobilenet.txt")
    if case is PPLCNET:
        return ("--weights", archives / "pplcnet")
    tar, labels = archives / "resnet18.tar", archives / "resnet18.txt"
    return ("--weights", tar, "--labels", labels, "--like", "EfficientNetB0", "--max-batch-size", "4")


def archive_of(case: Case, archives: Path) -> Path:
    return archives / {MOBILENET: "mobilenet", RESNET: "resnet18", PPLCNET: "pplcnet"}[case]


@pytest.fixture(scope="module")
def own_repository(archives: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository as the project has it, into which the three were populated, all at once."""
    folder = tmp_path_factory.mktemp("own") / "models"
    write(render(zoo.MODELS.values()), folder)

    def populate(case: Case) -> subprocess.CompletedProcess[str]:
        return run("-m", "scripts.populate", case.name, *options(case, archives), "--repository", folder)

    with ThreadPoolExecutor() as pool:
        for case, done in zip(CASES, pool.map(populate, CASES), strict=True):
            assert done.returncode == 0, done.stderr
            assert f"{case.name}: published" in done.stderr
    return folder


@pytest.fixture(scope="module")
def own_server(own_repository: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer([case.name for case in CASES], own_repository) as running:
        yield running


def test_the_list_says_how_each_is_served(own_repository, archives):
    found = json.loads(run("-m", "scripts.list", "--repository", own_repository, "--json").stdout)
    assert {each["model"]: each for each in found}.keys() == {case.name for case in CASES}
    for case in CASES:
        (each,) = (each for each in found if each["model"] == case.name)
        assert Preprocessing(each["resize_short"], each["crop"], each["interpolation"]) == case.preprocess
        assert (each["classes"], each["max_batch_size"]) == (len(case.labels), case.largest_batch)
        assert (each["weights"], each["whose"], each["fault"]) == ("own", "own", None)
        assert each["source"] == str(options(case, archives)[1])


def test_the_configurations_are_still_the_zoo_s_and_the_user_s(own_repository):
    assert not list(differences(render(zoo.MODELS.values()), own_repository))


@each_model
def test_both_ways_of_preprocessing_answer_what_paddle_answers(own_server, archives, examples, case, tmp_path):
    pixels = np.stack([case.preprocess(path.read_bytes()) for path in examples.values()])
    expected = paddle_answers(archive_of(case, archives), pixels, case, tmp_path)
    with (
        Classifier(own_server.url, case.name) as on_server,
        Classifier(own_server.url, case.name, preprocess="client") as in_client,
    ):
        found = on_server.probabilities(examples.values())
        assert np.array_equal(found, in_client.probabilities(examples.values()))
        assert found.shape == (len(examples), len(case.labels))
        assert np.abs(found - expected).max() < TOLERANCE_OTHERWISE
        assert np.ptp(found, axis=0).max() > 0.05  # the pictures are told apart
        for path, row in zip(examples.values(), expected, strict=True):
            answer = on_server.classify(path, top_k=len(case.labels))
            assert answer == in_client.classify(path, top_k=len(case.labels))
            assert answer.top.name == case.labels[int(row.argmax())]
            assert {label.index: label.name for label in answer.labels} == dict(enumerate(case.labels))
            assert not answer.synthetic


def paddle_answers(archive: Path, pixels: np.ndarray, case: Case, work: Path) -> np.ndarray:
    """What Paddle itself makes of an archive, probabilities."""
    (program,) = (path for path in archive.iterdir() if path.suffix in (".json", ".pdmodel"))
    mean, std = np.asarray(case.mean, "f4"), np.asarray(case.std, "f4")
    np.savez(work / "asked.npz", mean=mean, std=std, pictures=pixels)
    parameters = archive / "inference.pdiparams"
    run_child("answers", program, parameters, work / "asked.npz", work / "answered.npz", scratch=work)
    with np.load(work / "answered.npz") as answered:
        rows = answered["pictures"]
    if case is not RESNET:
        return rows
    powers = np.exp(rows - rows.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def test_the_command_line_knows_them(own_server, examples):
    listed = json.loads(run("-c", TRITONCLAS, "models", "--url", own_server.url, "--json").stdout)
    ready = {each["name"] for each in listed if each["state"] == "READY"}
    assert ready == {case.name for case in CASES}
    arguments = ("classify", examples["cat"], "--url", own_server.url, "--model", RESNET.name, "--json")
    (answer,) = json.loads(run("-c", TRITONCLAS, *arguments).stdout)
    assert {label["name"] for label in answer["labels"]} == set(RESNET.labels)


@pytest.mark.slow
def test_the_load_test_reports_them(own_server, tmp_path):
    names = ",".join(case.name for case in CASES)
    target = ("--url", own_server.url, "--models", names, "--batch-sizes", "1,4", "--users", "1")
    done = run("-m", "loadtest.sweep", *target, "--duration", "0.5", "--warm-up", "0.1", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    cells = json.loads((tmp_path / "results.json").read_text())["cells"]
    assert {(cell["model"], cell["batch_size"]) for cell in cells} == {(c.name, size) for c in CASES for size in (1, 4)}
    assert all(cell["requests"] and not cell["failures"] and not cell["synthetic"] for cell in cells)
    report = (tmp_path / "report.md").read_text().replace("\\", "")
    assert all(f"| {case.name} | 4 | 1 user | encoded |" in report for case in CASES)


def test_other_labels_need_no_new_export(own_repository, archives, tmp_path):
    labels = own_repository / f"{PPLCNET.name}_net" / "labels.txt"
    before = labels.read_text()
    other = tmp_path / "other.txt"
    other.write_text("Bellis\nRosa\nTulipa\n")
    try:
        arguments = (PPLCNET.name, *options(PPLCNET, archives), "--repository", own_repository)
        done = run("-m", "scripts.populate", *arguments, "--labels", other)
        assert f"{PPLCNET.name}: already there" in done.stderr
        assert labels.read_text() == other.read_text()
    finally:
        labels.write_text(before)


def test_another_preparation_under_the_same_name_is_refused_before_it_is_exported(own_repository, archives):
    arguments = (PPLCNET.name, *options(PPLCNET, archives), "--repository", own_repository)
    done = run("-m", "scripts.populate", *arguments, "--interpolation", "linear")
    assert done.returncode == 1
    assert "prepared otherwise, ['preprocess_140_128_cubic'] instead of ['preprocess_140_128_linear']" in done.stderr
    assert "python -m scripts.remove" in done.stderr


def test_they_go_wholly(own_server, own_repository):
    """The last of this module: the server goes on serving what it has loaded."""
    names = [case.name for case in CASES]
    done = run("-m", "scripts.remove", *names, "--repository", own_repository)
    assert done.returncode == 0, done.stderr
    first, second, third = done.stdout.splitlines()
    assert first.startswith("my_mobilenet, preprocess_219_192_linear: removed (")
    assert second.startswith("My-ResNet.18: removed (44.")  # its preprocessing is the zoo's
    assert third.startswith("lcnet, preprocess_140_128_cubic: removed (")
    assert "has weights yet" in run("-m", "scripts.list", "--repository", own_repository).stdout
    wanted = {path.parts[0] for path in render(zoo.MODELS.values())}
    assert {path.name for path in own_repository.iterdir()} == wanted
    assert run("-m", "scripts.render", "--check", "--repository", own_repository).returncode == 0
    with Classifier(own_server.url, PPLCNET.name) as classifier:
        assert classifier.classify(np.zeros((9, 9, 3), np.uint8)).model == PPLCNET.name


# an EfficientNetB4 of 224 pixels, as PaddleClas's YAML files export it


@pytest.fixture(scope="module")
def small_b4(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network is narrow, for speed; sizes and classes are those of such an export."""
    row = replace(zoo.find("EfficientNetB4"), crop=224, network=zoo.EfficientNet(width=0.25, depth=0.3))
    archive = assemble(row, "synthetic", tmp_path_factory.mktemp("b4") / "export")
    (archive.folder / MADE).unlink()
    (archive.folder.parent / "labels.txt").write_text("".join(f"kind {index}\n" for index in range(1000)))
    return archive.folder


@pytest.mark.slow
def test_a_b4_of_224_pixels_is_recognised_by_its_network(tmp_path):
    """Also when nobody says what it is."""
    row = replace(zoo.find("EfficientNetB4"), crop=224, classes=3)
    export, labels = tmp_path / "export", tmp_path / "labels.txt"
    assemble(row, "synthetic", export)
    labels.write_text("daisy\nrose\ntulip\n")
    done = run(
        "-m", "scripts.populate", "my_flowers", "--weights", export, "--labels", labels, "--repository", tmp_path
    )
    assert done.returncode == 1
    assert "has EfficientNetB4's network, and it was exported for 224x224 pixels, but" in " ".join(done.stderr.split())
    assert not (tmp_path / "my_flowers_net").exists()


@pytest.mark.parametrize(
    ("name", "like"), [("EfficientNetB4", []), ("my_b4", ["--like", "EfficientNetB4", "--labels", "{labels}"])]
)
def test_a_b4_of_224_pixels_is_recognised_and_explained(small_b4, tmp_path, name, like):
    own = [word.format(labels=small_b4.parent / "labels.txt") for word in like]
    done = run("-m", "scripts.populate", name, "--weights", small_b4, *own, "--repository", tmp_path)
    assert done.returncode == 1
    for part in ("exported for 224x224", "evaluated at 380x380", "image_shape=[3,380,380]", "with --labels and --crop"):
        assert part in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_b4_that_was_trained_at_224_is_served_at_224(small_b4, tmp_path):
    own = ("--like", "EfficientNetB4", "--labels", small_b4.parent / "labels.txt", "--crop", "224")
    done = run("-m", "scripts.populate", "my_b4", "--weights", small_b4, *own, "--repository", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "1000 classes; pictures: short side 256, crop 224, cubic" in done.stderr
