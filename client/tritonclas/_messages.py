"""Triton's messages: built and read here, and nowhere else."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from google.protobuf import json_format
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2

from tritonclas.preprocess import Pixels
from tritonclas.results import Classification, Label, ModelStatistics, ModelStatus, Timing

#: A value of a log setting.
Setting = bool | int | str

OUTPUT = "probabilities"
_NS = 1e-9


class Tensor(NamedTuple):
    """The input of a request; `parts` are buffers whose contents follow each other."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    parts: Sequence[Any]

    @property
    def size(self) -> int:
        """Bytes of all parts."""
        return sum(memoryview(part).nbytes for part in self.parts)


def encoded_tensor(images: Sequence[bytes]) -> Tensor:
    """An ensemble's input: `image`, BYTES [N, 1], one encoded file an element."""
    return Tensor("image", "BYTES", (len(images), 1), list(_elements(images)))


def pixels_tensor(crops: Sequence[Pixels]) -> Tensor:
    """A network's input: `pixels`, UINT8 [N, crop, crop, 3]."""
    return Tensor("pixels", "UINT8", (len(crops), *crops[0].shape), crops)


class Question(NamedTuple):
    """What is asked of a model: the tensor, the classes to answer (all probabilities if None), and the request's id.

    An empty `version` leaves the choice to Triton.
    """

    model: str
    tensor: Tensor
    top_k: int | None
    request_id: str
    version: str = ""

    def message(self, timeout_s: float, placed: tuple[str, int] | None = None) -> Any:
        """The request; `placed` names the region of shared memory that has the tensor, and where it begins there."""
        request = service_pb2.ModelInferRequest(model_name=self.model, model_version=self.version, id=self.request_id)
        output = request.outputs.add(name=OUTPUT)
        if self.top_k is not None:
            output.parameters["classification"].int64_param = self.top_k
        # A request that has waited in the server's queue until its caller gave up isn't worth computing.
        request.parameters["timeout"].int64_param = max(1, int(timeout_s * 1e6))
        tensor = request.inputs.add(name=self.tensor.name, datatype=self.tensor.datatype, shape=self.tensor.shape)
        if placed is None:
            request.raw_input_contents.append(b"".join(self.tensor.parts))
        else:
            tensor.parameters["shared_memory_region"].string_param = placed[0]
            tensor.parameters["shared_memory_offset"].int64_param = placed[1]
            tensor.parameters["shared_memory_byte_size"].int64_param = self.tensor.size
        return request


def _elements(values: Iterable[bytes]) -> Iterator[bytes]:
    """Triton's BYTES tensor: each element after its length, uint32 little-endian."""
    for value in values:
        yield struct.pack("<I", len(value))
        yield value


def classifications(
    model: str, names: Sequence[str] | None, response: Any, request_id: str = "", timing: Timing | None = None
) -> list[Classification]:
    """Top-k classes of each picture, out of the classification extension's `score:index:name` strings.

    `names`, one for each class, take the place of the server's.
    """
    rows, k = response.outputs[0].shape
    labels = _labels(response.raw_output_contents[0], names)
    return [
        Classification(tuple(labels[row * k : (row + 1) * k]), model, response.model_version, request_id, timing)
        for row in range(rows)
    ]


def _labels(content: bytes, names: Sequence[str] | None) -> list[Label]:
    labels, at = [], 0
    while at < len(content):
        begin = at + 4
        at = begin + int.from_bytes(content[at:begin], "little")
        score, number, *name = content[begin:at].decode(errors="replace").split(":", 2)
        index = int(number)
        labels.append(Label(index, float(score), names[index] if names else name[0] if name else ""))
    return labels


def probabilities(response: Any, request_id: str = "", timing: Timing | None = None) -> list[NDArray[np.float32]]:
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


def register(name: str, size: int) -> Any:
    """A request to map a region of shared memory."""
    return service_pb2.SystemSharedMemoryRegisterRequest(name=name, key=f"/{name}", offset=0, byte_size=size)


def unregister(name: str) -> Any:
    """A request to unmap a region of shared memory."""
    return service_pb2.SystemSharedMemoryUnregisterRequest(name=name)


def all_regions() -> Any:
    """A request for all regions that are mapped."""
    return service_pb2.SystemSharedMemoryStatusRequest()


def regions(response: Any) -> list[str]:
    """The names of the regions that are mapped."""
    return list(response.regions)


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
            success_s=stats.inference_stats.success.ns * _NS,
            queue_s=stats.inference_stats.queue.ns * _NS,
            compute_input_s=stats.inference_stats.compute_input.ns * _NS,
            compute_infer_s=stats.inference_stats.compute_infer.ns * _NS,
            compute_output_s=stats.inference_stats.compute_output.ns * _NS,
            batch_sizes={each.batch_size: each.compute_infer.count for each in stats.batch_stats},
        )
        for stats in response.model_stats
    ]
