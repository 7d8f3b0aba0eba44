"""scripts.list and scripts.remove: what a repository holds, and what is left of it."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import helper

from scripts import list as list_module
from scripts import remove as remove_module
from scripts import repository as repo
from scripts.archive import WeightsKind
from scripts.errors import ScriptError
from scripts.inventory import Entry, inventory
from scripts.provenance import Origin, served
from scripts.render import differences, render, write
from scripts.repository import locked
from scripts.versions import onnx_path
from tritonclas import zoo
from tritonclas.served import Served

ROOT = Path(__file__).parents[2]
B0, B1 = zoo.find("EfficientNetB0"), zoo.find("EfficientNetB1")
#: A few rows, for speed.
ZOO = (B0, B1)
FLOWERS = Served(name="flowers", crop=192, resize_short=219, interpolation="linear", max_batch_size=8, classes=3)
NAMES = ("daisy", "rose", "tulip")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """The zoo's configurations; B0 with weights, and a user's own model."""
    folder = tmp_path / "models"
    write(render(ZOO), folder)
    publish(B0, folder, "official")
    publish(FLOWERS, folder)
    return folder


def publish(model: Served, repository: Path, kind: WeightsKind = "own") -> Path:
    """Publish a model whose ONNX file has metadata only."""
    with repo.staging(model.name, repository) as folder:
        model_proto = onnx.ModelProto(producer_name="x" * 1000)
        helper.set_model_props(model_proto, Origin(served(model), kind, f"from {kind}", "0" * 64).properties())
        (folder / "model.onnx").write_bytes(model_proto.SerializeToString())
        labels = NAMES if kind == "own" else repo.zoo_labels(model, kind)
        return repo.publish(model, folder / "model.onnx", labels, onnx_path(model.name, repository), synthetic=False)


def add_plan(name: str, repository: Path) -> None:
    version = repository / f"{name}_net" / "1"
    (version / "t4-fp16.plan").write_bytes(b"plan" * 100)
    (version / "t4-fp16.plan.json").write_text("{}")


def listed(repository: Path, *options: str) -> Result:
    return CliRunner().invoke(list_module.main, ["--repository", str(repository), *options])


def removed(repository: Path, *names: str) -> Result:
    return CliRunner().invoke(remove_module.main, [*names, "--repository", str(repository)])


def entry(repository: Path, name: str) -> Entry:
    return next(each for each in inventory(repository) if each.name == name)


def files(repository: Path) -> set[str]:
    """Everything but locks and empty folders."""
    found = (path.relative_to(repository).as_posix() for path in repository.rglob("*") if path.is_file())
    return {path for path in found if not path.endswith("/.lock")}


def folders(repository: Path) -> set[str]:
    return {path.name for path in repository.iterdir()}


# list


def test_the_table_has_a_line_for_each_model_with_weights(repository: Path) -> None:
    add_plan("flowers", repository)
    result = listed(repository)
    assert (result.exit_code, result.stderr) == (0, "")
    head, first, second = result.stdout.splitlines()
    assert head.split() == list(list_module.COLUMNS)
    assert first.split()[:8] == ["EfficientNetB0", "1", "official", "224", "1000", "cubic", "32", "0.0"]
    assert second.split() == ["flowers", "1", "own", "192", "3", "linear", "8", "0.0", "t4-fp16", "from", "own"]


def test_json_says_all(repository: Path) -> None:
    add_plan("flowers", repository)
    zoos, flowers = json.loads(listed(repository, "--json").stdout)
    assert (zoos["model"], zoos["whose"], zoos["plans"], zoos["resize_short"]) == ("EfficientNetB0", "zoo", [], 256)
    network = [path for path in (repository / "flowers_net").rglob("*") if path.is_file()]
    assert flowers == {
        "model": "flowers",
        "whose": "own",
        "weights": "own",
        "version": 1,
        "versions": [1],
        "crop": 192,
        "resize_short": 219,
        "interpolation": "linear",
        "classes": 3,
        "max_batch_size": 8,
        "bytes": sum(path.stat().st_size for path in network),
        "plans": ["t4-fp16"],
        "source": "from own",
        "parameters_sha256": "0" * 64,
        "fault": None,
    }


def test_all_has_the_zoo_s_rows_without_weights_too(repository: Path) -> None:
    found = json.loads(listed(repository, "--all", "--json").stdout)
    assert {each["model"] for each in found} == {B0.name, B1.name, "flowers"}
    assert {each["weights"] for each in found} == {"no weights", "official", "own"}
    assert not any(each["fault"] for each in found)


def test_the_largest_batch_is_the_configuration_s(repository: Path) -> None:
    path = repository / "flowers" / "config.pbtxt"
    path.write_text(path.read_text().replace("max_batch_size: 8", "max_batch_size: 2"))
    assert entry(repository, "flowers").setup.max_batch_size == 2


def test_what_a_killed_populate_left_has_no_weights(repository: Path) -> None:
    (repository / "flowers_net" / "1" / "model.onnx").unlink()
    shutil.rmtree(repository / "flowers")
    (repository / "dead_net" / ".populate-x").mkdir(parents=True)
    for name in ("flowers", "dead"):
        found = entry(repository, name)
        assert (found.populated, found.whose) == (False, "own")
        assert f"{name}/config.pbtxt can't be read" in str(found.fault)
        assert f"{name} " in listed(repository).stdout
    assert listed(repository).stdout.count("no weights") == 2


@pytest.mark.parametrize(
    ("path", "content", "why", "weights"),
    [
        ("flowers/config.pbtxt", b"max_batch_size: many", "isn't a model configuration", "own"),
        ("flowers_net/config.pbtxt", b"\xff\xfe", "isn't a model configuration", "own"),
        ("preprocess_219_192_linear/config.pbtxt", None, "can't be read", "own"),
        (
            "flowers_net/1/model.onnx",
            b"\x72\x05abc",
            r"model\.onnx is cut short or damaged; populate it again",
            "unknown",
        ),
        ("flowers_net/1/model.onnx", b"", r"model\.onnx is cut short or damaged", "unknown"),
        ("flowers_net/labels.txt", None, r"labels\.txt is missing", "own"),
    ],
)
def test_damage_is_shown(repository: Path, path: str, content: bytes | None, why: str, weights: str) -> None:
    damaged = repository / path
    if content is None:
        damaged.unlink()
    else:
        damaged.write_bytes(content)
    result = listed(repository)
    assert result.exit_code == 0
    (fault,) = [line for line in result.stdout.splitlines() if line.startswith("flowers: ")]
    assert re.search(why, fault)
    assert json.loads(listed(repository, "--json").stdout)[1]["weights"] == weights


def test_weights_of_another_model_are_shown(repository: Path) -> None:
    foreign = publish(replace(FLOWERS, name="trees", classes=4), repository)
    shutil.copyfile(foreign, repository / "flowers_net" / "1" / "model.onnx")
    fault = entry(repository, "flowers").fault
    assert fault == "its weights are for 192 pixels and 4 classes, its configurations for 192 and 3"


def test_damaged_metadata_makes_no_traceback(repository: Path) -> None:
    path = repository / "flowers_net" / "1" / "model.onnx"
    for old, new in ((b'"crop"', b'"crap"'), (b'"mean"', b'"meam"'), (b'{"name"', b'["name"')):
        publish(FLOWERS, repository)
        content = path.read_bytes()
        assert content.count(old) == 1
        path.write_bytes(content.replace(old, new))
        assert "was made by another version" in str(entry(repository, "flowers").fault)


def test_models_made_by_hand_are_listed_as_such(repository: Path) -> None:
    for name in ("mine", "mine_net"):
        (repository / name / "1").mkdir(parents=True)
        text = (repository / name.replace("mine", "flowers") / "config.pbtxt").read_text()
        (repository / name / "config.pbtxt").write_text(text.partition("\n")[2].replace("flowers", "mine"))
    (repository / "mine_net" / "1" / "model.onnx").write_bytes(b"theirs")
    assert entry(repository, "mine").whose == "by hand"
    assert re.search(r"^ mine +1 +by hand +192 +3 +linear", listed(repository).stdout, re.MULTILINE)
    result = removed(repository, "mine")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "mine wasn't made by scripts.populate; delete it yourself" in result.stderr


def test_an_empty_repository_says_what_to_do(tmp_path: Path) -> None:
    assert "run python -m scripts.populate" in listed(tmp_path).stdout
    assert listed(tmp_path, "--json").stdout == "[]\n"
    nowhere = listed(tmp_path / "nowhere")
    assert (nowhere.exit_code, nowhere.stderr.count("\n")) == (1, 1)
    assert "there is no model repository at" in nowhere.stderr


# remove


def test_a_model_of_the_zoo_keeps_its_configurations(repository: Path) -> None:
    add_plan(B0.name, repository)
    before = files(repository)
    result = removed(repository, B0.name)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{B0.name}: weights removed (0.0 MB freed); its configurations stay\n"
    gone = {f"1/{name}" for name in ("model.onnx", "t4-fp16.plan", "t4-fp16.plan.json")} | {"labels.txt"}
    assert before - files(repository) == {f"{B0.network_name}/{name}" for name in gone}
    assert not list(differences(render(ZOO), repository))
    with pytest.raises(ScriptError, match=r"has no model\.onnx"):
        repo.check_servable(B0.name, repository)
    repo.check_servable("flowers", repository)


def test_a_model_of_the_zoo_without_weights_is_no_fault(repository: Path) -> None:
    result = removed(repository, B1.name)
    assert (result.exit_code, result.stdout) == (0, f"{B1.name}: has no weights, nothing to remove\n")


def test_what_others_put_beside_the_zoo_s_weights_stays(repository: Path) -> None:
    theirs = repository / B0.network_name / "1" / "h100-fp8.plan"
    theirs.touch()
    assert removed(repository, B0.name).exit_code == 0
    assert theirs.exists()


def test_an_own_model_goes_wholly(repository: Path) -> None:
    add_plan("flowers", repository)
    freed = sum(path.stat().st_size for path in repository.glob("*/**/*") if path.is_file() and "flowers" in str(path))
    freed += (repository / "preprocess_219_192_linear" / "config.pbtxt").stat().st_size
    before, result = folders(repository), removed(repository, "flowers")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"flowers, preprocess_219_192_linear: removed ({freed / 1e6:.1f} MB freed)\n"
    assert before - folders(repository) == {"flowers", "flowers_net", "preprocess_219_192_linear"}
    assert not list(differences(render(ZOO), repository))
    repo.check_servable(B0.name, repository)


def test_what_is_freed_is_counted(repository: Path) -> None:
    network = repository / "flowers_net"
    (network / "1" / "t4-fp16.plan").write_bytes(bytes(3_000_000))
    assert "(3.0 MB freed)" in removed(repository, "flowers").stdout


def test_a_folder_of_weights_goes_too(repository: Path) -> None:
    path = repository / "flowers_net" / "1" / "model.onnx"
    content = path.read_bytes()
    path.unlink()
    path.mkdir()
    (path / "model.onnx").write_bytes(content)
    (path / "weights-0123456789abcdef.data").write_bytes(bytes(2_000_000))
    assert entry(repository, "flowers").origin
    assert "(2.0 MB freed)" in removed(repository, "flowers").stdout
    assert "flowers_net" not in folders(repository)


def test_a_preprocessing_model_stays_as_long_as_another_uses_it(repository: Path) -> None:
    publish(replace(FLOWERS, name="trees"), repository)
    assert removed(repository, "flowers").stdout.startswith("flowers: removed")
    repo.check_servable("trees", repository)
    assert removed(repository, "trees").stdout.startswith("trees, preprocess_219_192_linear: removed")


def test_a_preprocessing_model_of_the_zoo_stays(repository: Path) -> None:
    publish(replace(FLOWERS, name="trees", crop=224, resize_short=256, interpolation="cubic"), repository)
    assert removed(repository, "trees").stdout.startswith("trees: removed")
    assert "preprocess_256_224_cubic" in folders(repository)


def test_a_preprocessing_model_stays_if_nobody_knows_who_uses_it(repository: Path) -> None:
    (repository / B1.name / "config.pbtxt").write_text("damaged")
    assert removed(repository, "flowers").stdout.startswith("flowers: removed")
    assert "preprocess_219_192_linear" in folders(repository)


def test_a_preprocessing_folder_that_holds_nothing_of_ours_stays(repository: Path) -> None:
    (repository / "preprocess_by_hand").mkdir()
    assert removed(repository, "flowers").exit_code == 0
    assert "preprocess_by_hand" in folders(repository)


def test_a_damaged_own_model_can_be_removed(repository: Path) -> None:
    header = (repository / "flowers" / "config.pbtxt").read_text().partition("\n")[0]
    (repository / "flowers" / "config.pbtxt").write_text(f"{header}\nmax_batch_size: many")
    (repository / "flowers_net" / "1" / "model.onnx").write_bytes(b"")
    (repository / "flowers_net" / "labels.txt").unlink()
    assert removed(repository, "flowers").stdout.startswith("flowers, preprocess_219_192_linear: removed")


@pytest.mark.parametrize(
    "theirs",
    [
        "flowers/notes.txt",
        "flowers_net/2/model.onnx",
        "flowers_net/configs/mine.pbtxt",
        "flowers_net/1/mine.plan",
        "flowers_net/1/model.onnx.bak",
        "flowers/.git/config",
    ],
)
def test_what_others_put_into_an_own_model_is_never_deleted(repository: Path, theirs: str) -> None:
    path = repository / theirs
    path.parent.mkdir(exist_ok=True)
    path.write_text("theirs")
    before = files(repository)
    result = removed(repository, "flowers")
    assert result.exit_code == 1
    assert f"{path} wasn't made by this project; move it away, and run this again" in result.stderr
    assert files(repository) == before


def test_a_configuration_that_isnt_ours_is_never_deleted(repository: Path) -> None:
    path = repository / "flowers_net" / "config.pbtxt"
    path.write_text(path.read_text().partition("\n")[2])
    assert f"{path} wasn't made by this project" in removed(repository, "flowers").stderr
    assert path.exists()


@pytest.mark.parametrize(
    "left", ["flowers/.config.pbtxt.123", "flowers_net/configs/.gpu.pbtxt.1", "flowers_net/.engines-x/t4-fp16.plan"]
)
def test_what_killed_processes_left_is_no_obstacle(repository: Path, left: str) -> None:
    (repository / left).parent.mkdir(exist_ok=True)
    (repository / left).touch()
    assert removed(repository, "flowers").exit_code == 0
    assert not {"flowers", "flowers_net"} & folders(repository)


def test_all_names_are_checked_before_any_model_goes(repository: Path) -> None:
    before = files(repository)
    result = removed(repository, "flowers", "EfficientNetBO", B0.name)
    assert result.exit_code == 1
    assert "has no model 'EfficientNetBO'; did you mean EfficientNetB" in result.stderr
    assert files(repository) == before
    assert "did you mean flowers" in removed(repository, "flower_net").stderr
    assert removed(repository, "flowers", B0.name, "flowers").stdout.count("\n") == 2


def test_a_busy_model_is_left_alone(repository: Path) -> None:
    before = files(repository)
    with locked("flowers", repository):
        result = removed(repository, "flowers")
    assert "another process is populating flowers" in result.stderr
    assert files(repository) == before


@pytest.mark.parametrize("failing", ["ensemble", "config.pbtxt", "labels.txt", "preprocess_219_192_linear"])
def test_a_move_that_fails_leaves_everything_in_its_place(
    repository: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    before, rename = files(repository), Path.rename

    def fail_once(path: Path, target: Path) -> Path:
        if target.name == failing and ".remove-" in str(target):
            raise PermissionError(1, "not allowed")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail_once)
    result = removed(repository, "flowers")
    assert (result.exit_code, result.output.count("\n")) == (1, 1)
    assert "not allowed" in result.output
    assert files(repository) == before
    repo.check_servable("flowers", repository)


def test_a_preprocessing_model_that_is_just_being_used_stays(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = Path.rename

    def publish_meanwhile(path: Path, target: Path) -> Path:
        if path.name.startswith("preprocess_") and ".remove-" in str(target):
            repo.write_configs(replace(FLOWERS, name="trees"), repository)
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", publish_meanwhile)
    assert "another process has begun to use" in removed(repository, "flowers").stderr
    repo.check_servable("flowers", repository)
    assert "preprocess_219_192_linear" in folders(repository)


KILLED = """
import os, signal, sys
from pathlib import Path
from scripts import remove
repository, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
moves, take = [], remove._Moves.take

def take_or_die(self, path, called=None):
    if len(moves) == count:
        os.kill(os.getpid(), signal.SIGKILL)
    moves.append(path)
    take(self, path, called)

remove._Moves.take = take_or_die
remove.size_of = lambda path: os.kill(os.getpid(), signal.SIGKILL)
(entry,) = remove.wanted([name], repository)
remove.remove(entry, repository)
"""


@pytest.mark.parametrize("count", [0, 1, 2, 4, 99])
def test_a_killed_removal_is_finished_by_the_next(repository: Path, count: int) -> None:
    command = [sys.executable, "-c", KILLED, str(repository), "flowers", str(count)]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == -signal.SIGKILL
    repo.check_servable(B0.name, repository)
    if count == 0:
        repo.check_servable("flowers", repository)
    else:
        with pytest.raises(ScriptError, match="has no model 'flowers'"):
            repo.check_servable("flowers", repository)
    assert listed(repository).exit_code == 0
    assert removed(repository, "flowers").exit_code == 0
    assert not {"flowers", "flowers_net"} & folders(repository)
    assert "preprocess_219_192_linear" not in folders(repository)
    assert not list(repository.rglob(".remove-*"))


def test_a_model_whose_removal_was_killed_can_be_populated_again(repository: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(repository), "flowers", "3"]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == -signal.SIGKILL
    publish(FLOWERS, repository)
    repo.check_servable("flowers", repository)
    assert not list(repository.rglob(".remove-*"))


def test_a_killed_removal_of_a_model_of_the_zoo(repository: Path) -> None:
    add_plan(B0.name, repository)
    command = [sys.executable, "-c", KILLED, str(repository), B0.name, "1"]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == -signal.SIGKILL
    with pytest.raises(ScriptError, match=r"has no model\.onnx"):
        repo.check_servable(B0.name, repository)
    assert removed(repository, B0.name).exit_code == 0
    left = {path.name for path in (repository / B0.network_name).iterdir()}
    assert left - {".lock", "1"} == {"config.pbtxt", "configs"}
    assert not any((repository / B0.network_name / "1").iterdir())


@pytest.mark.parametrize("module", [list_module, remove_module])
def test_help_has_an_example(module: object) -> None:
    name = module.__name__  # type: ignore[attr-defined]
    assert f"python -m {name}" in CliRunner().invoke(module.main, ["--help"]).output  # type: ignore[attr-defined]
