"""A request made beforehand, the server that it is for, and the pace at which that server answers it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.pacing import Duration, Pace
from bench.wire import Connection

_FLOAT = np.dtype("<f4")


@dataclass(frozen=True)
class Prepared:
    """A whole HTTP request that asks the server at a port of this machine for the probabilities of so many images."""

    port: int
    request: bytes
    images: int = 1

    def probabilities(self, classes: int = 1000) -> NDArray[np.float32]:
        """What it is answered, `[images, classes]`: the float32 at the body's end. ConnectionError if it isn't."""
        with Connection(self.port) as connection:
            body = connection.ask(self.request)
        floats = self.images * classes
        return np.frombuffer(body[-floats * _FLOAT.itemsize :], _FLOAT).reshape(self.images, classes)

    def pace(self, clients: int, duration: Duration) -> Pace:
        """The requests' pace, of a load generator in a process of its own."""
        arguments = (self.port, clients, duration.warm_up_s, duration.measured_s, duration.least)
        command = [sys.executable, "-m", "bench.wire", *map(str, arguments)]
        done = subprocess.run(command, input=self.request, stdout=subprocess.PIPE, check=True, timeout=600)
        return Pace(**json.loads(done.stdout))

    def image_s(self, clients: int, duration: Duration) -> float:
        """Seconds an image."""
        return 1 / (self.pace(clients, duration).per_s * self.images)


def pictures(port: int, model: str, encoded: Sequence[bytes]) -> Prepared:
    """A batch of encoded pictures for an ensemble on Triton."""
    data = b"".join(len(each).to_bytes(4, "little") + each for each in encoded)
    shape = {"name": "image", "datatype": "BYTES", "shape": [len(encoded), 1]}
    return Prepared(port, _infer(model, shape, data), len(encoded))


def crops(port: int, model: str, pixels: NDArray[np.uint8]) -> Prepared:
    """A batch of crops, uint8 `[images, crop, crop, 3]`, for a network on Triton."""
    shape = {"name": "pixels", "datatype": "UINT8", "shape": list(pixels.shape)}
    return Prepared(port, _infer(model, shape, pixels.tobytes()), len(pixels))


def posted(port: int, path: str, content: bytes) -> Prepared:
    """A file as it is, for a server of one's own."""
    return Prepared(port, _post(path, ["Content-Type: application/octet-stream"], content))


def _infer(model: str, tensor: dict[str, Any], data: bytes) -> bytes:
    """Triton's binary tensor data extension: a JSON header, then the bytes; the answer is of the same kind."""
    header = {
        "inputs": [{**tensor, "parameters": {"binary_data_size": len(data)}}],
        "outputs": [{"name": "probabilities", "parameters": {"binary_data": True}}],
    }
    text = json.dumps(header).encode()
    return _post(f"/v2/models/{model}/infer", [f"Inference-Header-Content-Length: {len(text)}"], text + data)


def _post(path: str, headers: Sequence[str], body: bytes) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body
