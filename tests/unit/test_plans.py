"""A plan serves only what it was built for, and never another model's answers."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.tensorrt import plans
from scripts.tensorrt.gpus import Gpu, chosen
from scripts.tensorrt.plans import Fingerprint, Record, misfits, record_path
from scripts.versions import model_file

T4 = Gpu("0", "GPU-aa11", "Tesla T4")
V100 = Gpu("1", "GPU-bb22", "Tesla V100-SXM2-16GB")
OPTIONS = ("--maxShapes=pixels:8x224x224x3", "--fp16", "--memPoolSize=workspace:2048")


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """A plan with its record, beside the ONNX file that it was built from."""
    (tmp_path / "model.onnx").write_bytes(b"onnx")
    path = tmp_path / "t4-fp16.plan"
    path.write_bytes(b"plan")
    write_record(path)
    return path


def write_record(plan: Path) -> Record:
    onnx = model_file(plan.with_name("model.onnx"))
    record = Record(T4.name, "10.4.0", OPTIONS, Fingerprint.of(onnx), Fingerprint.of(plan))
    record.write(plan)
    return record


def why(plan: Path, gpus: tuple[Gpu, ...] = (T4,), tensorrt: str = "10.4.0", options: tuple[str, ...] = OPTIONS) -> str:
    return "\n".join(misfits(plan, plan.with_name("model.onnx"), gpus, tensorrt, options))


def overwrite(path: Path, content: bytes) -> None:
    """Same size, later time: what a size alone doesn't tell."""
    status = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


def test_a_plan_fits_where_it_was_built(plan: Path) -> None:
    assert why(plan) == ""
    assert why(plan, options=OPTIONS[:1]) == ""
    assert why(plan, gpus=(T4, replace(T4, index="1", uuid="GPU-cc33"))) == ""


def test_the_record_says_what_a_person_wants_to_know(plan: Path) -> None:
    read = json.loads(record_path(plan).read_text())
    assert record_path(plan).name == "t4-fp16.plan.json"
    assert (read["gpu"], read["tensorrt"], read["options"]) == ("Tesla T4", "10.4.0", list(OPTIONS))
    assert read["onnx"]["sha256"] == hashlib.sha256(b"onnx").hexdigest()
    assert Record.read(plan) == write_record(plan)


@pytest.mark.parametrize(
    ("here", "message"),
    [
        ({"gpus": (V100,)}, "was built on a Tesla T4; there is a Tesla V100-SXM2-16GB here"),
        ({"gpus": (T4, V100)}, "there is a Tesla V100-SXM2-16GB here"),
        ({"tensorrt": "10.3.0"}, "was built by TensorRT 10.4.0; TensorRT is 10.3.0 here"),
        ({"options": ("--maxShapes=pixels:16x224x224x3",)}, "was built without --maxShapes=pixels:16x224x224x3"),
    ],
    ids=["GPU", "one of two GPUs", "TensorRT", "batch size"],
)
def test_another_machine_or_configuration_is_a_misfit(plan: Path, here: dict[str, tuple[Gpu]], message: str) -> None:
    assert message in why(plan, **here)
    assert "\n" not in why(plan, **here)


SPOIL: dict[str, tuple[Callable[[Path], object], str]] = {
    "no plan": (Path.unlink, "there is no t4-fp16.plan"),
    "other plan, same size": (lambda plan: overwrite(plan, b"PLAN"), "isn't the plan that t4-fp16.plan.json describes"),
    "other plan": (lambda plan: plan.write_bytes(b"other plan"), "isn't the plan that t4-fp16.plan.json describes"),
    "other ONNX, same size": (lambda plan: overwrite(plan.with_name("model.onnx"), b"ONNX"), "another model.onnx"),
    "other ONNX": (lambda plan: plan.with_name("model.onnx").write_bytes(b"new one"), "another model.onnx"),
    "no ONNX": (lambda plan: plan.with_name("model.onnx").unlink(), "another model.onnx"),
    "no record": (lambda plan: record_path(plan).unlink(), "nobody knows what t4-fp16.plan was built from"),
    "no JSON": (lambda plan: record_path(plan).write_text("{"), "nobody knows"),
    "not text": (lambda plan: record_path(plan).write_bytes(b"\xff"), "nobody knows"),
    "other JSON": (lambda plan: record_path(plan).write_text("[1]"), "nobody knows"),
    "a field less": (lambda plan: record_path(plan).write_text('{"onnx": {}, "plan": {}}'), "nobody knows"),
}


@pytest.mark.parametrize(("spoil", "message"), SPOIL.values(), ids=SPOIL)
def test_what_isnt_as_it_was_is_a_misfit(plan: Path, spoil: Callable[[Path], object], message: str) -> None:
    spoil(plan)
    assert message in why(plan)
    assert "\n" not in why(plan)


def test_a_copy_without_times_is_the_same_plan(plan: Path) -> None:
    for path in (plan, plan.with_name("model.onnx")):
        overwrite(path, path.read_bytes())
    assert why(plan) == ""


def test_another_size_with_the_same_time_is_another_file(plan: Path) -> None:
    status = plan.stat()
    plan.write_bytes(b"a longer plan")
    os.utime(plan, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert "isn't the plan" in why(plan)


def test_files_with_the_noted_times_arent_read(plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server mustn't hash gigabytes at every start."""
    monkeypatch.setattr(plans, "_sha256", lambda path: pytest.fail(f"{path} was read"))
    assert why(plan) == ""


def test_an_onnx_model_in_several_files_is_its_graph(tmp_path: Path) -> None:
    folder = tmp_path / "model.onnx"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"graph that names weights-1.data")
    (folder / "weights-1.data").write_bytes(b"weights")
    plan = tmp_path / "t4-fp16.plan"
    plan.write_bytes(b"plan")
    write_record(plan)
    assert why(plan) == ""
    (folder / "model.onnx").write_bytes(b"graph that names weights-2.data")
    os.utime(folder / "model.onnx", ns=(1, 1))
    assert "another model.onnx" in why(plan)


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("Tesla T4", {"T4"}),
        ("NVIDIA T400", set()),
        ("T4G", set()),
        ("Tesla V100-SXM2-16GB", {"V100"}),
        ("Tesla V100S-PCIE-32GB", {"V100"}),
        ("NVIDIA A10", set()),
    ],
)
def test_kinds_of_gpus(name: str, kinds: set[str]) -> None:
    assert {kind for kind in ("T4", "V100") if replace(T4, name=name).is_a(kind)} == kinds


@pytest.mark.parametrize(
    ("setting", "visible"),
    [
        (None, [T4, V100]),
        ("", []),
        ("1", [V100]),
        ("1, 0", [V100, T4]),
        ("GPU-aa", [T4]),
        ("0,-1,1", [T4]),
        ("2", []),
    ],
)
def test_gpus_that_cuda_may_use(setting: str | None, visible: list[Gpu]) -> None:
    assert chosen([T4, V100], setting) == visible
