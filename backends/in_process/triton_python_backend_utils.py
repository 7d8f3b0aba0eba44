"""What model.py needs of Triton's module of this name, for models that run inside tritonserver (host.c)."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

_KINDS = ("AUTO", "CPU", "GPU", "MODEL")
_BYTES = 13
#: TRITONSERVER_DataType; the place in this table is the value.
_TYPES = (None, "?", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8")
_NUMBERS = {np.dtype(name): number for number, name in enumerate(_TYPES) if name}


class TritonError:
    """An answer that is an error: its message, and its code."""

    UNKNOWN, INTERNAL, NOT_FOUND, INVALID_ARG, UNAVAILABLE, UNSUPPORTED, ALREADY_EXISTS, CANCELLED = range(8)

    def __init__(self, message: str, code: int = INTERNAL) -> None:
        self.message, self.code = message, code


class Tensor:
    """A named array."""

    def __init__(self, name: str, array: Any) -> None:
        self._name, self._array = name, array

    def name(self) -> str:
        """Its name."""
        return self._name

    def as_numpy(self) -> Any:
        """The array: of bytes objects for BYTES, otherwise Triton's own memory, good until the answer is given."""
        return self._array


class InferenceRequest:
    """A request's inputs."""

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        self._inputs = inputs

    def inputs(self) -> Sequence[Tensor]:
        """All of them."""
        return self._inputs


class InferenceResponse:
    """A request's outputs, or its error."""

    def __init__(self, output_tensors: Sequence[Tensor] = (), error: TritonError | None = None) -> None:
        self.outputs, self.error = output_tensors, error


def get_input_tensor_by_name(request: InferenceRequest, name: str) -> Tensor | None:
    """The input of that name, None if there isn't one."""
    for tensor in request.inputs():
        if tensor.name() == name:
            return tensor
    return None


def load(folder: str, name: str) -> Any:
    """A backend's model class, out of its model.py; called by host.c, as all that follows."""
    sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(f"tritonclas_backend_{name}", Path(folder, "model.py"))
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.TritonPythonModel


def gives_way(model_class: Any) -> bool:
    """Whether its requests wait while others, networks, have more in hand than the cores can do (turns.h)."""
    return bool(getattr(model_class, "GIVES_WAY", False))


def create(model_class: Any, arguments: dict[str, Any]) -> Any:
    """An instance of it; `arguments` are those of initialize(), version and kind as numbers."""
    kind = _KINDS[arguments["model_instance_kind"]]
    model = model_class()
    model.initialize(arguments | {"model_version": str(arguments["model_version"]), "model_instance_kind": kind})
    return model


def execute(model: Any, inputs: Sequence[tuple[str, int, tuple[int, ...], Any]]) -> tuple[int, str | None, list[Any]]:
    """Answer one request: code, message and [] for an error, otherwise 0, None and the outputs."""
    request = InferenceRequest([Tensor(name, _array(number, shape, data)) for name, number, shape, data in inputs])
    (response,) = model.execute([request])
    if response.error:
        return response.error.code, response.error.message, []
    return 0, None, [_output(tensor) for tensor in response.outputs]


def finalize(model: Any) -> None:
    """Let go of an instance."""
    if hasattr(model, "finalize"):
        model.finalize()


def _array(number: int, shape: tuple[int, ...], data: Any) -> Any:
    if number == _BYTES:
        array = np.empty(shape, object)
        array.ravel()[:] = list(_strings(data))
        return array
    return np.frombuffer(data, _TYPES[number]).reshape(shape)


def _strings(data: Any) -> Any:
    at, end = 0, len(data)
    while at < end:
        begin = at + 4
        at = begin + int.from_bytes(data[at:begin], "little")
        yield bytes(data[begin:at])


def _output(tensor: Tensor) -> tuple[str, int, tuple[int, ...], Any]:
    array = np.ascontiguousarray(tensor.as_numpy())
    return tensor.name(), _NUMBERS[array.dtype], array.shape, array
