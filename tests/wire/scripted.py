"""A real gRPC server in this process whose answers are scripted, and whose requests are on record.

Its model's answer to an image stands in the image: a PPM with the comment `42:name`, or a crop whose first value
is 42, is class 42. Images whose comment begins with `bad` are rejected, as Triton's preprocessing does it.
"""

from __future__ import annotations

import contextlib
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

from tests.pictures import saying
from tritonclas import Classification, ImageRejected
from tritonclas.preprocess import describe_rejections

MODEL = "EfficientNetB0"
CROP = 224
CLASSES = 1000

Answer = Callable[[Any, grpc.ServicerContext], Any]

_METHODS = [method.name for method in service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods]


class Service:
    """What the server does: `answers` says how each method is answered; `requests` are those that came."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {
            "ModelInfer": infer,
            "ModelConfig": lambda request, context: service_pb2.ModelConfigResponse(config=CONFIGS[request.name]),
            "ServerLive": lambda request, context: service_pb2.ServerLiveResponse(live=True),
            "ServerReady": lambda request, context: service_pb2.ServerReadyResponse(ready=True),
            "ModelReady": lambda request, context: service_pb2.ModelReadyResponse(ready=True),
            "ServerMetadata": lambda request, context: service_pb2.ServerMetadataResponse(version="2.51.0"),
        }
        self.requests: list[tuple[str, Any]] = []
        self.headers: list[dict[str, Any]] = []
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()

    def answer(self, method: str, request: Any, context: grpc.ServicerContext) -> Any:
        """Answer one request as it is scripted."""
        with self._lock:
            self.requests.append((method, request))
            self.headers.append(dict(context.invocation_metadata()))
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            if method not in self.answers:
                context.abort(grpc.StatusCode.UNIMPLEMENTED, method)
            return self.answers[method](request, context)
        finally:
            with self._lock:
                self._at_once -= 1

    def asked(self, method: str) -> list[Any]:
        """The requests of one method, in the order of their arrival."""
        return [request for its_method, request in self.requests if its_method == method]


def image(answer: int | str) -> bytes:
    """An encoded file that says what its answer is."""
    return saying(answer)


def classes(results: Iterable[Classification | ImageRejected]) -> list[Any]:
    """The classes of results; of a rejected image why."""
    return [result.reason if isinstance(result, ImageRejected) else result.top.index for result in results]


def refuse(code: grpc.StatusCode, message: str) -> Answer:
    """An answer that is an error."""
    return lambda request, context: context.abort(code, message)


class Hang:
    """An answer that doesn't come until `release` is called; `arrived` is set when somebody waits for it."""

    def __init__(self, answer: Answer, patience_s: float = 60.0) -> None:
        self.arrived = threading.Event()
        self._answer = answer
        self._released = threading.Event()
        self._patience_s = patience_s

    def __call__(self, request: Any, context: grpc.ServicerContext) -> Any:
        self.arrived.set()
        self._released.wait(self._patience_s)
        return self._answer(request, context)

    def release(self) -> None:
        """Let all go on."""
        self._released.set()


def serving(service: Service) -> contextlib.AbstractContextManager[str]:
    """Serve on a free port; yields HOST:PORT."""
    return serving_at(service, 0)


@contextlib.contextmanager
def serving_at(service: Service, port: int) -> Iterator[str]:
    """Serve on this port, or on a free one; yields HOST:PORT."""
    pool = ThreadPoolExecutor(32)
    server = grpc.server(pool)
    methods = {method: _handler(service, method) for method in _METHODS}
    servicer = type("Servicer", (service_pb2_grpc.GRPCInferenceServiceServicer,), methods)()
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()
        for answer in service.answers.values():
            if isinstance(answer, Hang):
                answer.release()
        pool.shutdown()


def _handler(service: Service, method: str) -> Answer:
    return lambda servicer, request, context: service.answer(method, request, context)  # type: ignore[misc]


def infer(request: Any, context: grpc.ServicerContext) -> Any:
    """The model's answer to a request: see above."""
    images = contents(request)
    reasons = {at: image.decode() for at, image in enumerate(images) if image.startswith(b"bad")}
    if reasons:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"in ensemble '{MODEL}', {describe_rejections(reasons)}")
    top_k = request.outputs[0].parameters["classification"].int64_param
    return _classes(images, top_k) if top_k else _probabilities(images)


def contents(request: Any) -> list[bytes]:
    """What the images in a request say: encoded files by their comment, crops by their first value."""
    (content,), (tensor,) = request.raw_input_contents, request.inputs
    if tensor.datatype == "UINT8":
        size = len(content) // tensor.shape[0]
        return [str(content[at]).encode() for at in range(0, len(content), size)]
    return [file.split(b"\n")[1].removeprefix(b"# ") for file in files(request)]


def files(request: Any) -> list[bytes]:
    """The encoded files in a request."""
    (content,) = request.raw_input_contents
    found = []
    while content:
        (length,) = struct.unpack_from("<I", content)
        found.append(content[4 : 4 + length])
        content = content[4 + length :]
    return found


def _index(image: bytes) -> int:
    return int(image.partition(b":")[0])


def _classes(images: list[bytes], top_k: int) -> Any:
    elements = []
    for image in images:
        name = image.partition(b":")[2] or b"class"
        elements += [b"%.2f:%d:%s" % (1 - 0.01 * place, _index(image) + place, name) for place in range(top_k)]
    content = b"".join(struct.pack("<I", len(element)) + element for element in elements)
    return _response("BYTES", [len(images), top_k], content)


def _probabilities(images: list[bytes]) -> Any:
    rows = ([float(index == _index(image)) for index in range(CLASSES)] for image in images)
    return _response("FP32", [len(images), CLASSES], b"".join(struct.pack(f"<{CLASSES}f", *row) for row in rows))


def _response(datatype: str, shape: list[int], content: bytes) -> Any:
    tensor = service_pb2.ModelInferResponse.InferOutputTensor(name="probabilities", datatype=datatype, shape=shape)
    return service_pb2.ModelInferResponse(model_version="1", outputs=[tensor], raw_output_contents=[content])


def _configs() -> dict[str, Any]:
    pb = model_config_pb2
    names = ("preprocess_256_224_cubic", f"{MODEL}_net")
    steps = pb.ModelEnsembling(step=[pb.ModelEnsembling.Step(model_name=name) for name in names])
    values = {"resize_short": "256", "crop": str(CROP), "interpolation": "cubic"}
    parameters = {key: pb.ModelParameter(string_value=value) for key, value in values.items()}
    output = [pb.ModelOutput(dims=[CLASSES])]
    return {
        MODEL: pb.ModelConfig(max_batch_size=8, output=output, ensemble_scheduling=steps),
        names[0]: pb.ModelConfig(parameters=parameters),
        names[1]: pb.ModelConfig(max_batch_size=8, output=output),
    }


CONFIGS = _configs()
