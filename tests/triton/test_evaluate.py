"""evaluate: a small labelled set of real pictures, real weights, a real Triton."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from scripts.embedded import EmbeddedServer
from scripts.evaluate import main
from tests.triton.commands import ROOT, read_until, run, started, wait_for
from tests.triton.conftest import REAL, SYNTHETIC
from tritonclas import zoo
from tritonclas.published import Published, imagenet_labels

LIST = ROOT / "tests" / "data" / "labelled" / "val_list.txt"
LABELS = {ROOT / path: int(index) for path, index in (line.split() for line in LIST.read_text().splitlines())}
TOP1, TOP5 = 0.6, 1.0  # the cat is taken for a tiger cat, and the blurred clock isn't recognised at first sight
MANY = 240

Evaluate = Callable[..., dict[str, Any]]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Where the answers are kept."""
    return tmp_path / "state.jsonl"


@pytest.fixture
def evaluate(server, state) -> Evaluate:
    """The command's JSON on a set; what else it says is under "said"."""

    def measure(*arguments: object, name: str = REAL, status: int = 0) -> dict[str, Any]:
        common = ("--url", server.url, "--state", state, "--json")
        done = CliRunner().invoke(main, [str(each) for each in (name, *common, *arguments)])
        assert done.exit_code == status, done.output
        return {**json.loads(done.stdout), "said": done.stderr}

    return measure


def by_class(folder: Path, name: Callable[[int], str]) -> Path:
    """The set as a folder per class."""
    for picture, index in LABELS.items():
        (folder / name(index)).mkdir(parents=True)
        shutil.copy(picture, folder / name(index))
    return folder


@pytest.fixture
def many(tmp_path: Path) -> tuple[object, ...]:
    """A set that takes some seconds: links to the pictures, and a broken one among them."""
    folder = tmp_path / "many"
    folder.mkdir()
    lines = []
    for number in range(MANY):
        picture, index = list(LABELS.items())[number % len(LABELS)]
        (folder / f"{number}.jpg").symlink_to(picture)
        lines.append(f"{number}.jpg {index}\n")
    (folder / "17.jpg").unlink()
    (folder / "17.jpg").write_text("not a picture")
    (tmp_path / "list.txt").write_text("".join(lines))
    return "--images", folder, "--labels", tmp_path / "list.txt"


def accuracy(found: dict[str, Any]) -> tuple[Any, ...]:
    return found["answered"], found["rejected"], found["top1"], found["top5"]


@pytest.mark.parametrize("preprocess", ["server", "client"])
def test_a_list(evaluate, state, preprocess):
    found = evaluate("--images", ROOT, "--labels", LIST, "--preprocess", preprocess)
    assert accuracy(found) == (5, 0, TOP1, TOP5)
    assert (found["published"], found["warnings"]) == (None, [])
    assert found["images_per_s"] > 0
    assert "5 of 5 pictures, listed in" in found["said"]
    assert not state.exists()


def test_folders_by_index_and_by_name(evaluate, tmp_path):
    by_index = evaluate("--images", by_class(tmp_path / "index", str))
    by_name = evaluate("--images", by_class(tmp_path / "name", lambda index: imagenet_labels()[index]))
    assert accuracy(by_index) == accuracy(by_name) == (5, 0, TOP1, TOP5)
    assert "folders named by class index" in by_index["said"]
    assert "folders named as the model names the classes" in by_name["said"]


def test_wrong_labels_are_wrong(evaluate, tmp_path):
    found = evaluate("--images", by_class(tmp_path / "set", lambda index: str(index + 1)))
    assert found["top1"] < TOP1


def test_the_table(server, state):
    done = run("-m", "scripts.evaluate", REAL, "--images", ".", "--labels", LIST, "--url", server.url, "--state", state)
    assert done.returncode == 0, done.stderr
    title, _, top1, top5 = (line.strip() for line in done.stdout.splitlines())
    assert title.startswith(f"{REAL}: 5 pictures answered, 0 rejected, ")
    assert top1.split() == ["top-1", "60.00", "%", "(3)", "23.07", "%", "to", "88.24", "%", "-"]
    assert top5.split() == ["top-5", "100.00", "%", "(5)", "56.55", "%", "to", "100.00", "%", "-"]


def test_a_broken_picture_is_left_out(evaluate, tmp_path):
    folder = by_class(tmp_path / "set", str)
    (folder / "281" / "broken.jpg").write_text("not a picture")
    found = evaluate("--images", folder, status=1)
    assert accuracy(found) == (5, 1, TOP1, TOP5)
    assert "1 of 6 pictures were rejected" in found["said"]
    assert found["said"].splitlines()[-1] == (
        "Error: too many pictures were rejected: this isn't the accuracy over the set"
    )


def test_nothing_but_broken_pictures(evaluate, tmp_path):
    (tmp_path / "set" / "3").mkdir(parents=True)
    (tmp_path / "set" / "3" / "broken.jpg").touch()
    found = evaluate("--images", tmp_path / "set", status=1)
    assert accuracy(found) == (0, 1, None, None)


def test_synthetic_weights_are_said_to_be_meaningless(evaluate):
    found = evaluate("--images", ROOT, "--labels", LIST, name=SYNTHETIC)
    assert found["synthetic"]
    assert found["warnings"] == [f"{SYNTHETIC} has synthetic (random) weights: its accuracy means nothing"]
    assert found["published"] == {"top1": 0.758, "top5": 0.926}


def test_a_published_accuracy_that_is_far_off(evaluate, monkeypatch):
    far = Published(0.02, 0.999, None, None, 0.77, 4.65)
    monkeypatch.setattr(zoo, "published_models", lambda: {REAL: far})
    found = evaluate("--images", ROOT, "--labels", LIST)
    assert found["published"] == {"top1": 0.02, "top5": 0.999}
    assert "Warning: top-1 is 58.00 points above the published 2.00 %; usual causes: " in found["said"]
    assert "Warning: top-5 is between 56.55 % and 100.00 % (95 %): 5 pictures are too few" in found["said"]


@pytest.fixture(scope="module")
def linear_server(repository, tmp_path_factory):
    """The real network behind linear instead of cubic interpolation, as a slip in a config.pbtxt has it."""
    folder = tmp_path_factory.mktemp("linear")
    for name in (REAL, f"{REAL}_net", "preprocess_256_224_cubic"):
        shutil.copytree(repository / name, folder / name)
    config = folder / "preprocess_256_224_cubic" / "config.pbtxt"
    assert '"cubic"' in config.read_text()
    config.write_text(config.read_text().replace('"cubic"', '"linear"'))
    with EmbeddedServer([REAL], folder) as running:
        yield running


@pytest.mark.parametrize("preprocess", ["server", "client"])
def test_a_confusion_of_interpolation_is_seen_in_the_answers(linear_server, state, preprocess):
    arguments = (REAL, "--images", ROOT, "--labels", LIST, "--preprocess", preprocess, "--state", state)
    done = run("-m", "scripts.evaluate", *arguments, "--url", linear_server.url)
    assert f"Warning: the server's interpolation is linear, {REAL} needs cubic" in done.stderr
    assert done.returncode == 0


def command(server: EmbeddedServer, state: Path, many: tuple[object, ...]) -> tuple[object, ...]:
    return ("-m", "scripts.evaluate", REAL, "--url", server.url, "--state", state, "--json", *many)


def lines(state: Path) -> int:
    return state.read_bytes().count(b"\n") if state.exists() else 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_what_was_measured_is_kept_when_the_run_ends_early(server, evaluate, state, many, number):
    with started(*command(server, state, many)) as process:
        wait_for(lambda: lines(state) > 40)
        if number == signal.SIGKILL:
            process.kill()
            process.wait()
        else:
            process.send_signal(number)
            said = read_until(process, "interrupted; ")
            assert f"of {MANY} answers are in {state}, and the same command goes on from there" in said.string
            assert process.wait(60) == 128 + number
    done = lines(state) - 1
    assert 40 <= done < MANY
    resumed = evaluate(*many)
    assert f"resumed at {done} of {MANY}" in resumed["said"]
    assert resumed["rejections"][0]["image"].endswith("17.jpg")
    assert not state.exists()
    assert accuracy(resumed) == (MANY - 1, 1, (MANY * TOP1 - 1) / (MANY - 1), TOP5)  # the broken one is a rocket


def test_a_server_that_goes_away(repository, state, many):
    with EmbeddedServer([REAL], repository) as server, started(*command(server, state, many)) as process:
        wait_for(lambda: lines(state) > 40)
        server.process.kill()
        said = read_until(process, "^Error: ")
        assert process.wait(60) == 1
    assert f"answers are in {state}, and the same command goes on from there" in said.string
    assert lines(state) > 40


def test_other_weights_are_not_mixed_with_what_is_kept(server, evaluate, state, many):
    with started(*command(server, state, many)) as process:
        wait_for(lambda: lines(state) > 40)
        process.kill()
        process.wait()
    header, first, *rest = state.read_text().splitlines(keepends=True)
    answer = json.loads(first)
    state.write_text("".join([header, json.dumps(answer | {"score": answer["score"] + 0.05}) + "\n", *rest]))
    done = run(*command(server, state, many))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"Error: {REAL} doesn't answer as it did when {state} was begun")
    assert len(rest) + 2 == lines(state)
    assert "resumed" not in evaluate(*many, "--fresh", "--limit", "17")["said"]


def test_a_limit_leaves_what_a_longer_run_has_kept(server, evaluate, state, many):
    with started(*command(server, state, many)) as process:
        wait_for(lambda: lines(state) > 40)
        process.kill()
        process.wait()
    kept = lines(state)
    assert accuracy(evaluate(*many, "--limit", "17")) == (17, 0, pytest.approx(10 / 17), TOP5)
    assert lines(state) == kept


MISTAKES = {
    "unknown model": (["EfficientNetLit0"], 1, f"did you mean {REAL}"),
    "no such folder": ([REAL, "--images", "/nowhere"], 2, "does not exist"),
    "too large a batch": ([REAL, "--batch-size", "33"], 1, "takes at most 32 images a request; --batch-size is 33"),
    "not labels": (
        [REAL, "--labels", str(ROOT / "client/tritonclas/data/published_models.csv")],
        1,
        "is neither a list with `PATH INDEX` a line nor",
    ),
    "folders of something else": ([REAL, "--images", str(ROOT / "scripts"), "--labels", str(LIST)], 1, "has none of"),
}


@pytest.mark.parametrize(("arguments", "status", "said"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_answered_in_a_line(server, state, arguments, status, said):
    usual = ["--images", str(ROOT), "--labels", str(LIST), "--url", server.url, "--state", str(state)]
    done = CliRunner().invoke(main, [arguments[0], *usual, *arguments[1:]])
    assert (done.exit_code, done.stdout) == (status, "")
    assert said in done.stderr.splitlines()[-1]
    assert not state.exists()


def test_no_server(state):
    nobody = ["--url", "localhost:1", "--state", str(state), "--timeout", "5"]
    done = CliRunner().invoke(main, [REAL, "--images", str(ROOT), "--labels", str(LIST), *nobody])
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
