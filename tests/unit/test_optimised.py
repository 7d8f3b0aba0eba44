"""Optimised graphs are kept, found again, made anew when anything changed, and never stand in the way."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.unit.backends import load

OPTIONS = ort.SessionOptions()
_FAULTY = ModuleType("squeeze_excite")
_FAULTY.rewrite = lambda graph: 1 / 0  # type: ignore[attr-defined]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return load("onnxruntime", "optimised")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return _write(tmp_path / "1" / "model.onnx", weight=2.0)


def _write(path: Path, weight: float) -> Path:
    """x -> x @ w, w large enough for a file of its own."""
    matrix = numpy_helper.from_array(np.full((64, 64), weight, np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 64])],
        [matrix],
    )
    path.parent.mkdir(exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def _answer(session: Any) -> float:
    return float(session.run(None, {"x": np.ones((1, 64), np.float32)})[0][0, 0])


def _entries(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache" / "tritonclas" / "onnxruntime").iterdir())


def test_it_is_made_once_and_then_found(module: Any, path: Path, tmp_path: Path) -> None:
    assert _answer(module.session(path, OPTIONS)) == 128
    (entry,) = _entries(tmp_path)
    made = (entry / "model.onnx").stat().st_mtime_ns
    assert (entry / "weights.bin").stat().st_size >= 64 * 64 * 4
    assert _answer(module.session(path, OPTIONS)) == 128
    assert (entry / "model.onnx").stat().st_mtime_ns == made


def test_other_weights_at_the_same_place_are_another_entry(module: Any, path: Path, tmp_path: Path) -> None:
    module.session(path, OPTIONS)
    _write(path, weight=3.0)
    assert _answer(module.session(path, OPTIONS)) == 192
    assert len(_entries(tmp_path)) == 2


@pytest.mark.parametrize("file", ["model.onnx", "weights.bin"])
def test_a_damaged_entry_is_removed_and_the_model_itself_served(
    module: Any, path: Path, tmp_path: Path, file: str, capfd: Any
) -> None:
    module.session(path, OPTIONS)
    (entry,) = _entries(tmp_path)
    (entry / file).write_bytes(b"cut short")
    assert _answer(module.session(path, OPTIONS)) == 128
    assert "no optimised graph" in capfd.readouterr().err
    assert not entry.exists()


def test_without_a_cache_the_model_itself_is_served(module: Any, path: Path, tmp_path: Path, capfd: Any) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert _answer(module.session(path, OPTIONS)) == 128
    assert "no optimised graph" in capfd.readouterr().err


def test_a_model_that_isnt_one_says_what_onnxruntime_says(module: Any, path: Path, tmp_path: Path) -> None:
    path.write_bytes(b"not a model")
    with pytest.raises(Exception, match="INVALID_PROTOBUF"):
        module.session(path, OPTIONS)
    assert _entries(tmp_path) == []


def test_the_least_recently_used_go_first(module: Any, path: Path, tmp_path: Path, monkeypatch: Any) -> None:
    for number, weight in enumerate((2.0, 3.0, 4.0)):
        module.session(_write(path, weight), OPTIONS)
        for entry in _entries(tmp_path):
            if entry.stat().st_mtime > 1000:
                os.utime(entry, (number + 1, number + 1))
    oldest, middle, newest = sorted(_entries(tmp_path), key=lambda entry: entry.stat().st_mtime)
    os.utime(oldest, (10, 10))  # used again
    monkeypatch.setattr(module, "LARGEST_CACHE_BYTES", 3 * module._size(newest) + 100)
    module.session(_write(path, 5.0), OPTIONS)
    assert not middle.exists()
    assert oldest.exists()
    assert newest.exists()


def test_a_model_of_several_files_is_another_when_one_of_them_changes(module: Any, path: Path) -> None:
    before = module._key(path, OPTIONS, one_by_one=False)
    data = path.with_name("weights.data")
    data.write_bytes(b"one")
    with_data = module._key(path, OPTIONS, one_by_one=False)
    os.utime(data, (5, 5))
    assert len({before, with_data, module._key(path, OPTIONS, one_by_one=False)}) == 3
    moved = path.parents[1] / "2"
    shutil.copytree(path.parent, moved)
    assert module._key(moved / "model.onnx", OPTIONS, one_by_one=False) not in {before, with_data}


def test_one_image_at_a_time_is_another_entry(module: Any, path: Path) -> None:
    assert module._key(path, OPTIONS, one_by_one=False) != module._key(path, OPTIONS, one_by_one=True)


@pytest.mark.parametrize("fault", [None, _FAULTY])
def test_a_graph_that_cant_be_rewritten_is_served_as_it_is(
    module: Any, path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any, fault: ModuleType | None
) -> None:
    """Its module can't be imported, as without ONNX, or fails."""
    monkeypatch.setitem(sys.modules, "squeeze_excite", fault)
    monkeypatch.setattr(Path, "read_bytes", lambda self: b"... ReorderInput ...")
    assert _answer(module.session(path, OPTIONS, one_by_one=True)) == 128
    assert f"squeeze-and-excitation of {path} stays as ONNX Runtime has it: " in capfd.readouterr().err
