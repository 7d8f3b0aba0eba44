"""Triton's messages: built and read here, and nowhere else."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from google.protobuf import json_format
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2

from tritonclas.preprocess import Pixels
from tritonclas.results import Classification, Label, ModelStatistics, ModelStatus

#: A value of a log setting.
Setting = bool | int | str

OUTPUT = "probabilities"
_NS = 1e-9


def infer_encoded(model: str, images: Sequence[bytes], top_k: int | None, timeout_s: float) -> Any:
    """A request to an ensemble: `image`, BYTES [N, 1], one encoded file an element."""
    tensor = service_pb2.ModelInferRequest.InferInputTensor(name="image", datatype="BYTES", shape=[len(images), 1])
    return _infer(model, tensor, b"".join(_elements(images)), top_k, timeout_s)


def infer_pixels(model: str, crops: Sequence[Pixels], top_k: int | None, timeout_s: float) -> Any:
    """A request to a network: `pixels`, UINT8 [N, crop, crop, 3]."""
    shape = [len(crops), *crops[0].shape]
    tensor = service_pb2.ModelInferRequest.InferInputTensor(name="pixels", datatype="UINT8", shape=shape)
    return _infer(model, tensor, b"".join(crop.tobytes() for crop in crops), top_k, timeout_s)


def _infer(model: str, tensor: Any, content: bytes, top_k: int | None, timeout_s: float) -> Any:
    output = service_pb2.ModelInferRequest.InferRequestedOutputTensor(name=OUTPUT)
    if top_k is not None:
        output.parameters["classification"].int64_param = top_k
    request = service_pb2.ModelInferRequest(
        model_name=model, inputs=[tensor], outputs=[output], raw_input_contents=[content]
    )
    # A request that has waited in the server's queue until its caller gave up isn't worth computing.
    request.parameters["timeout"].int64_param = max(1, int(timeout_s * 1e6))
    return request


def _elements(values: Iterable[bytes]) -> Iterator[bytes]:
    """Triton's BYTES tensor: each element after its length, uint32 little-endian."""
    for value in values:
        yield struct.pack("<I", len(value))
        yield value


def classifications(model: str, response: Any) -> list[Classification]:
    """Top-k classes of each picture, out of the classification extension's `score:index:name` strings."""
    rows, k = response.outputs[0].shape
    labels = [_label(text) for text in _texts(response.raw_output_contents[0])]
    return [
        Classification(tuple(labels[row * k : (row + 1) * k]), model, response.model_version) for row in range(rows)
    ]


def _texts(content: bytes) -> Iterator[str]:
    at = 0
    while at < len(content):
        (length,) = struct.unpack_from("<I", content, at)
        yield content[at + 4 : at + 4 + length].decode()
        at += 4 + length


def _label(text: str) -> Label:
    score, index, *name = text.split(":", 2)
    return Label(int(index), float(score), name[0] if name else "")


def probabilities(response: Any) -> list[NDArray[np.float32]]:
    """The output tensor's rows, float32 [classes] each."""
    shape = tuple(response.outputs[0].shape)
    return list(np.frombuffer(response.raw_output_contents[0], np.float32).reshape(shape))


def config_of(model: str) -> Any:
    """A request for a model's configuration."""
    return service_pb2.ModelConfigRequest(name=model)


def server_live() -> Any:
    """A request for the server's liveness."""
    return service_pb2.ServerLiveRequest()


def server_ready() -> Any:
    """A request for the server's readiness."""
    return service_pb2.ServerReadyRequest()


def server_metadata() -> Any:
    """A request for the server's name and version."""
    return service_pb2.ServerMetadataRequest()


def model_ready(model: str) -> Any:
    """A request for a model's readiness."""
    return service_pb2.ModelReadyRequest(name=model)


def repository_index() -> Any:
    """A request for the repository's models."""
    return service_pb2.RepositoryIndexRequest()


def load(model: str, config: Mapping[str, Any] | None) -> Any:
    """A request to load a model, with another configuration than its folder's if one is given."""
    request = service_pb2.RepositoryModelLoadRequest(model_name=model)
    if config is not None:
        request.parameters["config"].string_param = json.dumps(config)
    return request


def unload(model: str) -> Any:
    """A request to unload a model and, of an ensemble, the models that it consists of."""
    request = service_pb2.RepositoryModelUnloadRequest(model_name=model)
    request.parameters["unload_dependents"].bool_param = True
    return request


def statistics_of(model: str) -> Any:
    """A request for a model's statistics; all models' for an empty name."""
    return service_pb2.ModelStatisticsRequest(name=model)


def config(response: Any) -> dict[str, Any]:
    """A model's configuration as Triton's JSON, with the protobuf's field names."""
    return json_format.MessageToDict(response.config, preserving_proto_field_name=True)


def log_settings(changes: Mapping[str, Setting]) -> Any:
    """A request to change the server's log settings, if any, and for those that hold then."""
    request = service_pb2.LogSettingsRequest()
    for name, value in changes.items():
        kind = {bool: "bool_param", int: "uint32_param", str: "string_param"}[type(value)]
        setattr(request.settings[name], kind, value)
    return request


def log_settings_of(response: Any) -> dict[str, Setting]:
    """The log settings that hold."""
    return {name: getattr(value, value.WhichOneof("parameter_choice")) for name, value in response.settings.items()}


def trace_settings(model: str, changes: Mapping[str, Sequence[str] | None]) -> Any:
    """A request to change trace settings, of a model or of all; None takes back what was set for that model."""
    request = service_pb2.TraceSettingRequest(model_name=model)
    for name, values in changes.items():
        request.settings[name].value.extend(values or ())
    return request


def trace_settings_of(response: Any) -> dict[str, tuple[str, ...]]:
    """The trace settings that hold."""
    return {name: tuple(setting.value) for name, setting in response.settings.items()}


def model_statuses(response: Any) -> list[ModelStatus]:
    """The repository index's entries."""
    return [ModelStatus(entry.name, entry.version, entry.state, entry.reason) for entry in response.models]


def model_statistics(response: Any) -> list[ModelStatistics]:
    """Each model's statistics."""
    return [
        ModelStatistics(
            name=stats.name,
            version=stats.version,
            inferences=stats.inference_count,
            executions=stats.execution_count,
            successes=stats.inference_stats.success.count,
            failures=stats.inference_stats.fail.count,
            queue_s=stats.inference_stats.queue.ns * _NS,
            compute_input_s=stats.inference_stats.compute_input.ns * _NS,
            compute_infer_s=stats.inference_stats.compute_infer.ns * _NS,
            compute_output_s=stats.inference_stats.compute_output.ns * _NS,
        )
        for stats in response.model_stats
    ]
