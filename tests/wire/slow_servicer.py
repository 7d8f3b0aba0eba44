"""A Triton that takes its time: one classifier, every inference as slow as it is told, refusals on request."""

# ruff: noqa: N802  gRPC names the methods

from __future__ import annotations

import itertools
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

MODEL = "EfficientNetB0"
_STEPS = ("preprocess_256_224_cubic", f"{MODEL}_net")
_CLASSES = 1000
QUEUE_IS_FULL = grpc.StatusCode.UNAVAILABLE, f"in ensemble '{MODEL}', Exceeds maximum queue size"
NOT_LOADED = grpc.StatusCode.NOT_FOUND, f"Request for unknown model: '{MODEL}' has no available versions"


class SlowServicer(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Answers `latency_s` after it was asked, any number of requests at a time; refuses every `refuse_every`-th."""

    def __init__(
        self,
        latency_s: float = 0.2,
        refuse_every: int = 0,
        label: str = "tabby",
        refusal: tuple[grpc.StatusCode, str] = QUEUE_IS_FULL,
    ) -> None:
        self.latency_s = latency_s
        self.refuse_every = refuse_every
        self.label = label
        self.refusal = refusal
        self.batches: list[tuple[str, int]] = []
        self.tenants: set[str] = set()
        self.most_at_a_time = 0
        self.over = threading.Event()
        self._numbers = itertools.count(1)
        self._under_way = 0
        self._lock = threading.Lock()

    def ServerLive(self, request, context):
        return pb.ServerLiveResponse(live=True)

    def ServerMetadata(self, request, context):
        return pb.ServerMetadataResponse(name="triton", version="2.51.0")

    def ModelReady(self, request, context):
        return pb.ModelReadyResponse(ready=request.name in (MODEL, *_STEPS))

    def RepositoryIndex(self, request, context):
        entries = [(name, "READY") for name in (MODEL, *_STEPS)] + [("EfficientNetB4", "UNAVAILABLE")]
        models = [pb.RepositoryIndexResponse.ModelIndex(name=name, version="1", state=state) for name, state in entries]
        return pb.RepositoryIndexResponse(models=models)

    def ModelConfig(self, request, context):
        answer = pb.ModelConfigResponse()
        config = answer.config
        config.name, config.max_batch_size = request.name, 8
        config.output.add(name="probabilities").dims.append(_CLASSES)
        if request.name == MODEL:
            for step in _STEPS:
                config.ensemble_scheduling.step.add(model_name=step)
        for key, value in {"resize_short": "256", "crop": "224", "interpolation": "cubic"}.items():
            config.parameters[key].string_value = value
        return answer

    def ModelStatistics(self, request, context):
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "this server keeps no statistics")

    def ModelInfer(self, request, context):
        self.tenants |= {value for key, value in context.invocation_metadata() if key == "tenant"}
        top_k = request.outputs[0].parameters["classification"].int64_param
        if top_k:
            return self._classes(top_k)
        self._wait(request)
        if self.refuse_every and next(self._numbers) % self.refuse_every == 0:
            context.abort(*self.refusal)
        return _probabilities(request.inputs[0].shape[0])

    def _wait(self, request) -> None:
        with self._lock:
            self.batches.append((request.model_name, request.inputs[0].shape[0]))
            self._under_way += 1
            self.most_at_a_time = max(self.most_at_a_time, self._under_way)
        self.over.wait(self._service_s())
        with self._lock:
            self._under_way -= 1

    def _service_s(self) -> float:
        """How long the answer to a request that has just come in takes."""
        return self.latency_s

    def _classes(self, top_k: int):
        text = f"0.5:281:{self.label}".encode()
        answer = pb.ModelInferResponse(
            model_version="1", raw_output_contents=[(struct.pack("<I", len(text)) + text) * top_k]
        )
        answer.outputs.add(name="probabilities", datatype="BYTES", shape=[1, top_k])
        return answer


def _probabilities(images: int):
    answer = pb.ModelInferResponse(model_version="1", raw_output_contents=[bytes(4 * _CLASSES * images)])
    answer.outputs.add(name="probabilities", datatype="FP32", shape=[images, _CLASSES])
    return answer


@contextmanager
def serving(servicer: SlowServicer, threads: int = 32) -> Iterator[str]:
    """The servicer at a free port of this machine, as HOST:PORT; stopped at the end."""
    server = grpc.server(ThreadPoolExecutor(threads))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        servicer.over.set()
        server.stop(grace=None).wait()
