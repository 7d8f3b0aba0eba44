"""Weights come into the repository whole or not at all, and what can't be served is refused with the way out."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from scripts import repository as repo
from scripts.archive import WeightsKind
from scripts.errors import ScriptError
from scripts.files import write_whole
from scripts.render import OWN_HEADER, config_path, render
from scripts.tensorrt.plans import Fingerprint, Record, record_path
from scripts.versions import onnx_path
from tritonclas import zoo
from tritonclas.published import imagenet_labels
from tritonclas.results import SYNTHETIC_LABEL
from tritonclas.served import Served

B0 = zoo.find("EfficientNetB0")
NETWORK = Path(B0.network_name)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A folder for a repository that isn't there yet."""
    return tmp_path / "models"


#: ONNX models, as far as the repository looks: ir_version 8 and 9.
OLD, NEW = b"\x08\x08", b"\x08\x09"


def publish(repository: Path, content: bytes = NEW, kind: WeightsKind = "official") -> Path:
    with repo.staging(B0.name, repository) as scratch:
        (scratch / "verified.onnx").write_bytes(content)
        return put(scratch / "verified.onnx", kind, repository)


def put(staged: Path, kind: WeightsKind, repository: Path) -> Path:
    return repo.publish(
        B0, staged, repo.zoo_labels(B0, kind), onnx_path(B0.name, repository), synthetic=kind == "synthetic"
    )


def files_in(folder: Path) -> set[Path]:
    """Everything but the lock."""
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


def labels_of(repository: Path) -> list[str]:
    return (repository / NETWORK / "labels.txt").read_text(encoding="utf-8").splitlines()


def test_publish_makes_a_servable_repository(repository: Path) -> None:
    published = publish(repository)
    assert published == onnx_path(B0.name, repository) == repository / NETWORK / "1" / "model.onnx"
    assert published.read_bytes() == NEW
    assert files_in(repository) == {*render([B0]), NETWORK / "1" / "model.onnx", NETWORK / "labels.txt"}
    repo.check_servable("EfficientNetB0", repository)


@pytest.mark.parametrize("name", [B0.name, B0.preprocess_name, B0.network_name])
def test_every_model_gets_a_version(repository: Path, name: str) -> None:
    publish(repository)
    assert (repository / name / "1").is_dir()


def test_publish_again_replaces_the_weights(repository: Path) -> None:
    publish(repository, OLD, "synthetic")
    publish(repository, NEW)
    assert onnx_path(B0.name, repository).read_bytes() == NEW
    assert labels_of(repository) == list(imagenet_labels())


def planned(repository: Path, onnx: bytes, profile: str = "t4-fp16") -> Path:
    """A plan that was built from those weights, with its record."""
    version = onnx_path(B0.name, repository).parent
    plan, source = version / f"{profile}.plan", version.parent / "built-from.onnx"
    plan.write_bytes(b"plan")
    source.write_bytes(onnx)
    Record("Tesla T4", "10.4.0", (), Fingerprint.of(source), Fingerprint.of(plan)).write(plan)
    source.unlink()
    return plan


def test_plans_of_other_weights_go_and_those_of_the_same_stay(repository: Path) -> None:
    publish(repository, OLD, "synthetic")
    stale, unknown, current = (planned(repository, *of) for of in [(OLD,), (NEW, "t4-fp32"), (NEW, "v100-fp16")])
    record_path(unknown).unlink()
    publish(repository, NEW)
    assert not stale.exists()
    assert not record_path(stale).exists()
    assert not unknown.exists()
    assert current.exists()
    assert Record.read(current) is not None


def test_a_plan_of_random_weights_is_gone_before_classes_get_names(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(repository, OLD, "synthetic")
    plan = planned(repository, OLD)
    move = repo.move_onnx

    def moved(staged: Path, target: Path) -> None:
        assert not plan.exists()
        assert labels_of(repository)[0].startswith(SYNTHETIC_LABEL)
        move(staged, target)

    monkeypatch.setattr(repo, "move_onnx", moved)
    publish(repository, NEW)
    assert labels_of(repository) == list(imagenet_labels())


def test_publish_keeps_a_configuration_that_is_there(repository: Path) -> None:
    path = repository / config_path(B0.network_name)
    tuned = render([B0])[config_path(B0.network_name)].replace("max_batch_size: 32", "max_batch_size: 4")
    write_whole(path, tuned)
    publish(repository)
    assert "max_batch_size: 4" in path.read_text()
    assert path.read_text() == tuned


def test_a_configuration_of_a_model_of_another_size_is_refused(repository: Path) -> None:
    path = config_path(B0.network_name)
    write_whole(repository / path, render([replace(B0, crop=240)])[path])
    with pytest.raises(ScriptError, match=r"EfficientNetB0_net/config\.pbtxt is of a model with other sizes.*240.*224"):
        publish(repository)
    assert not onnx_path(B0.name, repository).exists()


OWN = Served(name="flowers", crop=32, resize_short=36, interpolation="linear", max_batch_size=4, classes=2)


def test_an_own_model_that_is_prepared_otherwise_is_refused_and_nothing_is_written(repository: Path) -> None:
    repo.write_configs(OWN, repository)
    before = files_in(repository)
    why = r"flowers/config\.pbtxt .* prepared otherwise, \['preprocess_36_32_linear'\] instead of .*36_32_cubic.*remove"
    for change in (repo.check_configs, repo.write_configs):
        with pytest.raises(ScriptError, match=why):
            change(replace(OWN, interpolation="cubic"), repository)
    assert files_in(repository) == before


def test_an_own_model_of_another_size_is_refused_and_nothing_is_written(repository: Path) -> None:
    repo.write_configs(OWN, repository)
    before = files_in(repository)
    with pytest.raises(ScriptError, match=r"flowers/config\.pbtxt is of a model with other sizes"):
        repo.write_configs(replace(OWN, classes=3, crop=48, resize_short=54), repository)
    assert files_in(repository) == before


def test_an_own_model_s_largest_batch_is_not_changed_silently(repository: Path) -> None:
    repo.write_configs(OWN, repository)
    why = r"flowers/config\.pbtxt says max_batch_size 4, not 16; give --max-batch-size 4, or first remove"
    with pytest.raises(ScriptError, match=why):
        repo.write_configs(replace(OWN, max_batch_size=16), repository)
    assert "max_batch_size: 4" in (repository / config_path(OWN.name)).read_text()


def test_pictures_of_the_zoo_s_models_may_be_prepared_by_hand(repository: Path) -> None:
    repo.write_configs(B0, repository)
    path = repository / config_path(B0.name)
    path.write_text(path.read_text().replace(B0.preprocess_name, "preprocess_fast"))
    repo.write_configs(B0, repository)
    assert "preprocess_fast" in path.read_text()


def test_the_configurations_of_an_own_model_say_so(repository: Path) -> None:
    repo.write_configs(OWN, repository)
    assert all(path.read_text().startswith(OWN_HEADER) for path in repository.rglob("*.pbtxt"))
    assert files_in(repository) == set(render([OWN]))


def test_random_weights_say_so_in_every_label(repository: Path) -> None:
    publish(repository, kind="synthetic")
    labels = labels_of(repository)
    assert len(labels) == len(set(labels)) == B0.classes
    assert all(label.startswith(SYNTHETIC_LABEL) for label in labels)
    assert labels[7] == f"{SYNTHETIC_LABEL} 7"


@pytest.mark.parametrize("kind", ["official", "own", "sample"])
def test_other_weights_have_imagenets_labels(kind: WeightsKind) -> None:
    assert repo.zoo_labels(B0, kind) == imagenet_labels()


def test_staging_lies_on_the_file_system_of_the_target(repository: Path) -> None:
    with repo.staging(B0.name, repository) as scratch:
        assert os.stat(scratch).st_dev == os.stat(repository).st_dev  # noqa: PTH116
        assert not scratch.name[0].isdigit()


def test_staging_leaves_nothing_behind(repository: Path) -> None:
    with repo.staging(B0.name, repository) as scratch:
        (scratch / "half.onnx").touch()
    assert not files_in(repository)
    assert not scratch.exists()


def test_what_a_killed_run_left_is_removed(repository: Path) -> None:
    left = repository / NETWORK / ".populate-killed"
    left.mkdir(parents=True)
    (left / "half.onnx").touch()
    with repo.staging(B0.name, repository):
        assert not left.exists()


def test_only_one_process_stages_a_model(repository: Path) -> None:
    busy = pytest.raises(ScriptError, match="another process is populating EfficientNetB0")
    with repo.staging(B0.name, repository), busy, repo.staging(B0.name, repository):
        pass


def test_who_waits_in_vain_leaves_the_lock_to_its_holder(repository: Path) -> None:
    with repo.locked(B0.name, repository) as folder:
        for _ in range(2):
            with pytest.raises(ScriptError, match="another process"), repo.locked(B0.name, repository):
                pass
            assert (folder / ".lock").exists()
    assert not folder.exists()


def test_models_are_staged_independently(repository: Path) -> None:
    with repo.staging(B0.name, repository), repo.staging("EfficientNetB1", repository):
        pass


def fail_while_staging(repository: Path) -> None:
    with repo.staging(B0.name, repository) as scratch:
        (scratch / "half.onnx").touch()
        raise ScriptError("it broke")


def test_a_failure_leaves_the_old_model_and_frees_the_lock(repository: Path) -> None:
    publish(repository, OLD)
    with pytest.raises(ScriptError, match="it broke") as failure:
        fail_while_staging(repository)
    assert onnx_path(B0.name, repository).read_bytes() == OLD
    assert not list((repository / NETWORK).glob(".populate-*"))
    publish(repository, NEW)  # while `failure`, and with it the frames of the failed run, is still there
    assert failure.value.message == "it broke"


def test_unknown_models_list_near_ones(repository: Path) -> None:
    publish(repository)
    with pytest.raises(ScriptError, match=r"has no model 'EfficentNetB0'; did you mean EfficientNetB0\?"):
        repo.check_servable("EfficentNetB0", repository)


def test_missing_weights_say_how_to_make_them(repository: Path) -> None:
    publish(repository).unlink()
    why = r"EfficientNetB0_net has no model\.onnx in .*; run python -m scripts\.populate EfficientNetB0$"
    for name in (B0.name, B0.network_name):
        with pytest.raises(ScriptError, match=why):
            repo.check_servable(name, repository)


def test_a_profile_needs_its_plan(repository: Path) -> None:
    version = publish(repository).parent
    with pytest.raises(ScriptError, match=r"no t4-fp16\.plan in .*GPU"):
        repo.check_servable(B0.name, repository, "t4-fp16")
    (version / "t4-fp16.plan").touch()
    repo.check_servable(B0.name, repository, "t4-fp16")


def test_an_unknown_profile_is_the_default_as_in_triton(repository: Path) -> None:
    publish(repository)
    repo.check_servable(B0.name, repository, "h100-fp8")


@pytest.mark.parametrize("content", [b"max_batch_size: many", b"\xff\xfe"], ids=["not a number", "not text"])
def test_a_damaged_configuration_is_named(repository: Path, content: bytes) -> None:
    publish(repository)
    path = repository / config_path(B0.name)
    path.write_bytes(content)
    with pytest.raises(ScriptError, match=f"{path} isn't a model configuration"):
        repo.check_servable(B0.name, repository)


def test_a_missing_member_is_named(repository: Path) -> None:
    publish(repository)
    (repository / config_path(B0.preprocess_name)).unlink()
    with pytest.raises(ScriptError, match=f"has no model '{B0.preprocess_name}'"):
        repo.check_servable(B0.name, repository)


def test_synthetic_weights_never_have_imagenets_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever way a model's weights are replaced, and wherever that is cut off."""
    model = B0
    names = tmp_path / model.network_name / "labels.txt"
    seen = []

    def replace_and_note(old: Path, new: Path) -> Path:
        if new.name == "model.onnx":
            seen.append(names.read_text()[:9] if names.exists() else "")
        return old.rename(new)

    monkeypatch.setattr(Path, "replace", replace_and_note)
    kinds: tuple[WeightsKind, ...] = ("synthetic", "official", "synthetic")
    for kind in kinds:
        staged = tmp_path / "staged.onnx"
        staged.write_text(kind)
        put(staged, kind, tmp_path)
    assert seen == ["synthetic"] * 3
    assert names.read_text().startswith("synthetic")


def test_a_model_that_could_not_be_published_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ScriptError, match="no"), repo.staging(B0.name, tmp_path):
        raise ScriptError("no")
    assert not list(tmp_path.iterdir())


def test_a_profile_that_no_network_has_is_refused(tmp_path: Path) -> None:
    repo.write_configs(B0, tmp_path)
    repo.check_profile(["EfficientNetB0"], tmp_path, "t4-fp16")
    with pytest.raises(ScriptError, match="did you mean t4-fp16"):
        repo.check_profile(["EfficientNetB0"], tmp_path, "t4-fp61")


@pytest.mark.parametrize("flags", [{"avx512_bf16"}, {"amx_bf16", "avx2"}], ids=str)
def test_a_cpu_with_bfloat16_can_serve_in_it(tmp_path: Path, flags: set[str]) -> None:
    repo.write_configs(B0, tmp_path)
    repo.check_cpu([B0.name], tmp_path, "cpu-bf16", flags)


def test_bfloat16_is_refused_without_a_cpu_for_it(tmp_path: Path) -> None:
    repo.write_configs(B0, tmp_path)
    with pytest.raises(ScriptError, match=r"doesn't compute in bfloat16 .*; serve it without --profile") as refused:
        repo.check_cpu([B0.name], tmp_path, "cpu-bf16", {"avx2", "avx512f"})
    assert str(refused.value).startswith(f"the profile cpu-bf16 runs {B0.network_name} in bfloat16")


@pytest.mark.parametrize("profile", ["t4-fp16", "gpu", "gpu-tensorrt-fp16"])
def test_no_cpu_serves_a_profile_for_a_gpu(tmp_path: Path, profile: str) -> None:
    repo.write_configs(B0, tmp_path)
    with pytest.raises(ScriptError, match=f"the profile {profile} runs {B0.network_name} on a GPU"):
        repo.check_cpu([B0.name], tmp_path, profile, {"avx512_bf16"})


def test_a_preprocessing_model_serves_all_who_share_it(tmp_path: Path) -> None:
    """Also in a repository that has one of them only: the others may come."""
    small = replace(B0, name="Small", max_batch_size=1)
    repo.write_configs(small, tmp_path)
    config = (tmp_path / small.preprocess_name / "config.pbtxt").read_text()
    assert "max_batch_size: 32" in config
