"""Versions beside each other: the one in service stays so until it is said otherwise, and nothing is mixed up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from click.testing import CliRunner
from onnx import helper

from scripts import inventory, release, remove, versions
from scripts import repository as repo
from scripts.errors import ScriptError
from scripts.model_config import read_config
from scripts.provenance import Origin
from scripts.render import OWN_HEADER, config_path
from tritonclas.served import Served

FLOWERS = Served(name="flowers", crop=192, resize_short=219, interpolation="linear", max_batch_size=8, classes=3)
NAMES = ("rose", "tulip", "aster")


def publish(folder: Path, version: int | None = None, model: Served = FLOWERS, labels: tuple[str, ...] = NAMES) -> Path:
    with repo.staging(model.name, folder) as scratch:
        written = onnx.ModelProto(producer_name=f"version {version}")
        helper.set_model_props(written, Origin(model, "own", "here", "0" * 64).properties())
        (scratch / "model.onnx").write_bytes(written.SerializeToString())
        target = versions.onnx_path(model.name, folder, version)
        return repo.publish(model, scratch / "model.onnx", labels, target, synthetic=False)


def asked_for(name: str, folder: Path) -> int:
    """The network's version that an ensemble names."""
    return int(read_config(folder / config_path(name)).ensemble_scheduling.step[1].model_version)


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """A repository whose model has versions 1, in service, and 2."""
    publish(tmp_path)
    publish(tmp_path, 2)
    return tmp_path


def test_the_first_is_in_service(tmp_path: Path) -> None:
    publish(tmp_path, 7)
    assert (versions.versions("flowers", tmp_path), versions.in_service("flowers", tmp_path)) == ([7], 7)
    assert asked_for("flowers", tmp_path) == 7
    assert not list(versions.ensembles("flowers", tmp_path))
    assert publish(tmp_path).parent.name == "7"


def test_another_comes_beside_it_with_an_ensemble_for_each(two: Path) -> None:
    assert (versions.versions("flowers", two), versions.in_service("flowers", two)) == ([1, 2], 1)
    assert {name: asked_for(name, two) for name in ("flowers", "flowers_v1", "flowers_v2")} == {
        "flowers": 1,
        "flowers_v1": 1,
        "flowers_v2": 2,
    }
    folders = {path.relative_to(two).as_posix() for path in two.glob("flowers*/[0-9]")}
    assert folders == {"flowers/1", "flowers_v1/1", "flowers_v2/2", "flowers_net/1", "flowers_net/2"}
    assert (two / config_path("flowers_v2")).read_text().startswith(OWN_HEADER)
    for name in ("flowers", "flowers_v1", "flowers_v2"):
        repo.check_servable(name, two)
    (entry,) = inventory.inventory(two)
    assert (entry.name, entry.version, entry.versions, entry.fault) == ("flowers", 1, (1, 2), None)


def test_a_latest_version_that_nobody_named_is_named_before_another_comes(tmp_path: Path) -> None:
    publish(tmp_path)
    path = tmp_path / config_path("flowers")
    path.write_text(path.read_text().replace("model_version: 1", "model_version: -1"))
    publish(tmp_path, 2)
    assert asked_for("flowers", tmp_path) == 1


def test_other_classes_are_another_model(two: Path) -> None:
    with pytest.raises(ScriptError, match=r"other classes than the versions of flowers .* another name"):
        publish(two, 3, labels=("rose", "tulip", "daisy"))
    assert versions.versions("flowers", two) == [1, 2]
    publish(two, 2)


def test_a_configuration_that_has_only_the_latest_served_is_refused(tmp_path: Path) -> None:
    publish(tmp_path)
    path = tmp_path / config_path("flowers_net")
    path.write_text(path.read_text().replace("all {\n  }", "latest {\n    num_versions: 1\n  }"))
    with pytest.raises(ScriptError, match=r"doesn't serve all versions beside each other; write"):
        publish(tmp_path, 2)
    assert versions.versions("flowers", tmp_path) == [1]


def test_names_of_versions_and_of_models_are_kept_apart(two: Path) -> None:
    with pytest.raises(ScriptError, match="flowers_v2 serves a version of flowers; choose another name"):
        publish(two, model=replace(FLOWERS, name="flowers_v2"))
    publish(two, model=replace(FLOWERS, name="flowers_v3"))
    with pytest.raises(ScriptError, match="version 3 of flowers would be served as flowers_v3, which is another model"):
        publish(two, 3)
    assert [entry.name for entry in inventory.inventory(two)] == ["flowers", "flowers_v3"]


def test_every_version_needs_the_profiles_plan(two: Path) -> None:
    (two / "flowers_net" / "1" / "t4-fp16.plan").write_bytes(b"plan")
    with pytest.raises(ScriptError, match=r"flowers_net has no t4-fp16\.plan .* scripts\.engines flowers"):
        repo.check_servable("flowers", two, "t4-fp16")


def run(command: object, *words: object) -> tuple[int, str]:
    result = CliRunner().invoke(command, list(map(str, words)))  # type: ignore[arg-type]
    return result.exit_code, result.output


def test_release_switches_and_says_the_way_back(two: Path) -> None:
    code, said = run(release.main, "flowers", 2, "--repository", two)
    assert (code, asked_for("flowers", two)) == (0, 2)
    assert said == "flowers: version 2 is in service; back: python -m scripts.release flowers 1\n"
    assert asked_for("flowers_v1", two) == 1
    assert [path.name for path in (two / "flowers").glob("[0-9]*")] == ["2"]
    assert run(release.main, "flowers", 2, "--repository", two) == (0, "flowers: version 2 is in service already\n")


def test_release_keeps_what_was_tuned_by_hand(two: Path) -> None:
    path = two / config_path("flowers")
    path.write_text("# ours\n" + path.read_text().replace("max_batch_size: 8", "max_batch_size: 4"))
    run(release.main, "flowers", 2, "--repository", two)
    assert path.read_text().startswith("# ours\n# Rendered")
    assert read_config(path).max_batch_size == 4


def test_release_of_what_isnt_there_changes_nothing(two: Path) -> None:
    code, said = run(release.main, "flowers", 3, "--repository", two)
    assert (code, asked_for("flowers", two)) == (1, 1)
    assert "flowers has no version 3" in said
    assert "but 1, 2; run python -m scripts.populate flowers --version 3" in said


def test_release_that_no_server_takes_over_is_taken_back(two: Path) -> None:
    code, said = run(release.main, "flowers", 2, "--repository", two, "--load", "--url", "localhost:1")
    assert (code, asked_for("flowers", two)) == (1, 1)
    assert "version 1 stays in service" in said


def test_a_version_can_be_removed_but_not_the_one_in_service(two: Path) -> None:
    code, said = run(remove.main, "flowers", "--version", 1, "--repository", two)
    assert (code, versions.versions("flowers", two)) == (1, [1, 2])
    assert "version 1 of flowers is in service" in said
    code, said = run(remove.main, "flowers", "--version", 2, "--repository", two)
    assert (code, versions.versions("flowers", two)) == (0, [1])
    assert said.startswith("flowers: version 2 removed (")
    assert not (two / "flowers_v2").exists()
    assert not (two / "flowers_net" / "2").exists()
    assert "flowers has no version 2" in run(remove.main, "flowers", "--version", 2, "--repository", two)[1]


def test_a_model_is_removed_with_all_its_versions(two: Path) -> None:
    assert run(remove.main, "flowers", "--repository", two)[0] == 0
    assert not [path for path in two.rglob("*") if path.is_file() and path.name != ".lock"]
