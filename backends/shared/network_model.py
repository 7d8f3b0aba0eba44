"""What a Triton model does around a network, whichever engine computes that: its file, its tensors, its requests.

The backends for networks are mounted and copied alone; this module is put beside their model.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import triton_python_backend_utils as pb_utils

Array = np.ndarray[Any, Any]
Config = Mapping[str, Any]
#: Names of tensors to Triton's data type and all sizes, the batch's first; another kind of type has the engine's name.
Tensors = Mapping[str, tuple[str, list[Any]]]


class Engine(Protocol):
    """A network that is ready to compute; from any thread."""

    inputs: Tensors
    outputs: Tensors

    def run(self, outputs: Sequence[str], batch: Mapping[str, Array]) -> list[Array]:
        """The named outputs of a batch."""


class NetworkModel:
    """One instance: its requests are joined to a batch, and each gets its rows."""

    def __init__(self, args: dict[str, str], file_name: str, load: Callable[[Path, Config, str], Engine]) -> None:
        """As initialize() is asked; `load` is given the file, the configuration, and the kind of instance.

        FileNotFoundError where there is no file, `file_name` unless the configuration names another; ValueError where
        its tensors aren't those of config.pbtxt.
        """
        config = json.loads(args["model_config"])
        path = Path(args["model_repository"], args["model_version"], config["default_model_filename"] or file_name)
        if path.is_dir():  # a model of several files, as NVIDIA's backends have it
            path = path / "model.onnx"
        if not path.is_file():
            raise FileNotFoundError(f"{path} isn't there; put it there with python -m scripts.populate")
        self.engine = load(path, config, args["model_instance_kind"])
        _check_tensors("input", config["input"], self.engine.inputs)
        _check_tensors("output", config["output"], self.engine.outputs)
        self._inputs = [tensor["name"] for tensor in config["input"]]
        self._outputs = [tensor["name"] for tensor in config["output"]]

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """An answer for each request."""
        if len(requests) == 1:
            return [self._answer(self._run(self._batch(requests[0])))]
        batches = [self._batch(request) for request in requests]
        joined = {name: np.concatenate([batch[name] for batch in batches]) for name in self._inputs}
        ends = np.cumsum([len(batch[self._inputs[0]]) for batch in batches])[:-1]
        rows = zip(*(np.split(output, ends) for output in self._run(joined)), strict=True)
        return [self._answer(each) for each in rows]

    def _run(self, batch: Mapping[str, Array]) -> Sequence[Array]:
        return self.engine.run(self._outputs, batch)

    def _batch(self, request: Any) -> dict[str, Array]:
        return {name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self._inputs}

    def _answer(self, outputs: Sequence[Array]) -> Any:
        return pb_utils.InferenceResponse(list(map(pb_utils.Tensor, self._outputs, outputs)))


def _check_tensors(direction: str, configured: Sequence[Config], found: Tensors) -> None:
    """The file's tensors are those of config.pbtxt: names, types and sizes after the batch dimension."""
    tensors = {name: (data_type, sizes[1:]) for name, (data_type, sizes) in found.items()}
    for tensor in configured:
        expected = (tensor["data_type"], [int(size) for size in tensor["dims"]])
        actual = tensors.get(tensor["name"])
        if actual != expected:
            raise ValueError(
                f"{direction} {tensor['name']!r} is {expected} in config.pbtxt, but in the model file it is "
                f"{actual or 'missing; there are: ' + ', '.join(tensors)}"
            )
