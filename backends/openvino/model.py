"""Triton backend: OpenVINO on the CPU, for servers without NVIDIA's own `openvino` backend, or in its place.

It reads the same config.pbtxt and the same keys as NVIDIA's, and refuses what it can't honour. Unlike NVIDIA's it
takes batches of any size up to `max_batch_size` as they come. Threads and instances may share a process.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from bfloat16 import cpu_flags
from openvino_compiled import compiled
from openvino_options import properties

_TYPES = {"u8": "TYPE_UINT8", "f32": "TYPE_FP32"}


class TritonPythonModel:
    """One instance; those of one process share what OpenVINO compiled."""

    def initialize(self, args: dict[str, str]) -> None:
        config = json.loads(args["model_config"])
        path = Path(args["model_repository"], args["model_version"], config["default_model_filename"] or "model.xml")
        if path.is_dir():  # a model of several files
            path = path / "model.onnx"
        if not path.is_file():
            raise FileNotFoundError(f"{path} isn't there; put it there with python -m scripts.populate")
        self._compiled = compiled(path, properties(config, args["model_instance_kind"], cpu_flags()))
        _check_tensors("input", config["input"], self._compiled.inputs)
        _check_tensors("output", config["output"], self._compiled.outputs)
        self._inputs = [tensor["name"] for tensor in config["input"]]
        self._outputs = [tensor["name"] for tensor in config["output"]]

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer all requests as one batch, and give each its rows."""
        feeds = [[_array(request, name) for name in self._inputs] for request in requests]
        batch = {name: _joined(arrays) for name, arrays in zip(self._inputs, zip(*feeds, strict=True), strict=True)}
        ends = np.cumsum([len(arrays[0]) for arrays in feeds])[:-1]
        outputs = [np.split(output, ends) for output in self._compiled(batch, self._outputs)]
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor(*pair) for pair in zip(self._outputs, rows, strict=True)])
            for rows in zip(*outputs, strict=True)
        ]


def _array(request: Any, name: str) -> np.ndarray[Any, Any]:
    return np.asarray(pb_utils.get_input_tensor_by_name(request, name).as_numpy())


def _joined(arrays: tuple[np.ndarray[Any, Any], ...]) -> np.ndarray[Any, Any]:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _check_tensors(direction: str, configured: list[dict[str, Any]], found: dict[str, tuple[str, list[int]]]) -> None:
    """The file's tensors are those of config.pbtxt: names, types and sizes after the batch dimension."""
    tensors = {name: (_TYPES.get(kind, kind), shape[1:]) for name, (kind, shape) in found.items()}
    for tensor in configured:
        expected = (tensor["data_type"], [int(size) for size in tensor["dims"]])
        actual = tensors.get(tensor["name"])
        if actual != expected:
            raise ValueError(
                f"{direction} {tensor['name']!r} is {expected} in config.pbtxt, but in the model file it is "
                f"{actual or 'missing; there are: ' + ', '.join(tensors)}"
            )
