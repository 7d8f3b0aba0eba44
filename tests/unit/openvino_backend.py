"""The backend for OpenVINO: instances and threads of one process share a model, and answer as if each were alone."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from tests.unit.backends import load

TWO_STREAMS = {"ENABLE_CPU_PINNING": False, "INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 2}


def write_model(path: Path, factor: float = 2.0) -> Path:
    """A model of any batch: the sum of a row, times the factor."""
    nodes = [
        helper.make_node("Cast", ["pixels"], ["x"], to=onnx.TensorProto.FLOAT),
        helper.make_node("MatMul", ["x", "weights"], ["sums"]),
    ]
    ends = (
        [helper.make_tensor_value_info("pixels", onnx.TensorProto.UINT8, ["N", 4])],
        [helper.make_tensor_value_info("sums", onnx.TensorProto.FLOAT, ["N", 1])],
    )
    weights = numpy_helper.from_array(np.full((4, 1), factor, np.float32), "weights")
    graph = helper.make_graph(nodes, "sums", *ends, [weights])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))
    return path


def rows(count: int) -> NDArray[np.uint8]:
    return np.arange(4 * count, dtype=np.uint8).reshape(count, 4)


def test_a_batch_of_any_size(openvino_backend: dict[str, Any], tmp_path: Path) -> None:
    model = openvino_backend["openvino_compiled"].compiled(write_model(tmp_path / "model.onnx"), TWO_STREAMS)
    assert model.inputs == {"pixels": ("TYPE_UINT8", [-1, 4])}
    assert model.outputs == {"sums": ("TYPE_FP32", [-1, 1])}
    for count in (1, 2, 5):
        (sums,) = model.run(["sums"], {"pixels": rows(count)})
        np.testing.assert_array_equal(sums, 2 * rows(count).sum(axis=1, dtype=np.float32, keepdims=True))


def test_instances_share_a_model_until_the_last_lets_it_go(openvino_backend: dict[str, Any], tmp_path: Path) -> None:
    compiled, path = openvino_backend["openvino_compiled"].compiled, write_model(tmp_path / "model.onnx")
    first, second = compiled(path, TWO_STREAMS), compiled(path, dict(TWO_STREAMS))
    assert first is second
    other = compiled(path, TWO_STREAMS | {"NUM_STREAMS": 1})
    assert other is not first
    before = len(openvino_backend["openvino_compiled"]._compiled)
    del first, second, other
    gc.collect()
    assert len(openvino_backend["openvino_compiled"]._compiled) == before - 2


def test_a_file_in_the_others_place_is_another_model(openvino_backend: dict[str, Any], tmp_path: Path) -> None:
    compiled, path = openvino_backend["openvino_compiled"].compiled, write_model(tmp_path / "model.onnx")
    old = compiled(path, TWO_STREAMS)
    write_model(tmp_path / "new.onnx", 3.0).replace(path)
    new = compiled(path, TWO_STREAMS)
    sums = [float(model.run(["sums"], {"pixels": rows(1)})[0].item()) for model in (old, new)]
    assert sums == [12.0, 18.0]


def test_threads_do_not_get_each_others_answers(openvino_backend: dict[str, Any], tmp_path: Path) -> None:
    model = openvino_backend["openvino_compiled"].compiled(write_model(tmp_path / "model.onnx"), TWO_STREAMS)

    def wrong(number: int) -> int:
        pixels = np.full((1 + number % 3, 4), number, np.uint8)
        kept = [model.run(["sums"], {"pixels": pixels})[0] for _ in range(50)]
        return sum(int((sums != 8 * number).any()) for sums in kept)

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(wrong, range(32))) == 0


@dataclass
class Tensor:
    """Of `triton_python_backend_utils`, as much as the backend uses."""

    name: str
    array: NDArray[Any]

    def as_numpy(self) -> NDArray[Any]:
        return self.array


def input_by_name(request: list[Tensor], name: str) -> Tensor:
    return next(tensor for tensor in request if tensor.name == name)


Instance = Callable[..., Any]


@pytest.fixture
def instance(tmp_path: Path, openvino_backend: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Instance:
    """Make an initialized instance, as a server does that reads model.py anew for each."""
    utils = SimpleNamespace(Tensor=Tensor, InferenceResponse=list, get_input_tensor_by_name=input_by_name)
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", utils)
    monkeypatch.setitem(sys.modules, "network_model", load("shared", "network_model"))
    (tmp_path / "1").mkdir()

    def make(dims: int = 4, file: str = "model.onnx") -> Any:
        module = load("openvino", "model")
        config = {
            "default_model_filename": file,
            "input": [{"name": "pixels", "data_type": "TYPE_UINT8", "dims": [dims]}],
            "output": [{"name": "sums", "data_type": "TYPE_FP32", "dims": ["1"]}],
            "parameters": {"NUM_STREAMS": {"string_value": "2"}},
        }
        made = module.TritonPythonModel()
        made.initialize(
            {
                "model_config": json.dumps(config),
                "model_repository": str(tmp_path),
                "model_version": "1",
                "model_instance_kind": "CPU",
            }
        )
        return made

    return make


def test_each_request_gets_its_rows(instance: Instance, tmp_path: Path) -> None:
    write_model(tmp_path / "1" / "model.onnx")
    asked = [rows(3)[:2], rows(3)[2:]]
    answers = instance().execute([[Tensor("pixels", pixels)] for pixels in asked])
    assert [answer[0].array.tolist() for answer in answers] == [[[12.0], [44.0]], [[76.0]]]


def test_instances_in_one_process_answer_threads_at_once(instance: Instance, tmp_path: Path) -> None:
    write_model(tmp_path / "1" / "model.onnx")
    instances = [instance() for _ in range(2)]
    assert instances[0]._model.engine is instances[1]._model.engine

    def wrong(number: int) -> int:
        request = [Tensor("pixels", np.full((1 + number % 3, 4), number, np.uint8))]
        kept = [instances[number % 2].execute([request] * 2) for _ in range(25)]
        return sum(int((answer[0].array != 8 * number).any()) for answers in kept for answer in answers)

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(wrong, range(32))) == 0


def test_a_file_that_is_missing_or_another_models_is_refused(instance: Instance, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="put it there with"):
        instance()
    write_model(tmp_path / "1" / "model.onnx")
    with pytest.raises(ValueError, match=r"'pixels' is .*5.* in config\.pbtxt, but in the model file it is .*4"):
        instance(dims=5)
