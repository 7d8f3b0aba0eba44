"""Load by so many clients, each of which asks again when it is answered; at little cost, since it needs the same cores.

A request is made once, and sent as HTTP through a plain socket: some 80 µs of a core each, where gRPC takes 400.
"""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from loadtest.samples import percentiles
from scripts.embedded import LOOPBACK

WARM_UP_S = 1.0
_LIMIT_S = 120.0
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Figures:
    """Images a second, and two percentiles of the requests' latencies."""

    images_per_s: float
    p50_ms: float
    p99_ms: float


def load(port: int, model: str, images: Sequence[bytes], *, clients: int, measured_s: float) -> Figures:
    """The load that so many clients make, with these images in each request, on the server with this HTTP port.

    After a warm-up; the last request of each client is waited for, so that each has one that counts.
    """
    content = _request(model, images)
    answered = Answered(time.perf_counter() + WARM_UP_S, measured_s)
    with ThreadPoolExecutor(clients) as pool:
        for asked in [pool.submit(_client, port, content, answered) for _ in range(clients)]:
            asked.result()
    return answered.figures(len(images))


class Answered:
    """Begin and end of each request that was under way at some time after the warm-up."""

    def __init__(self, begin_s: float, measured_s: float) -> None:
        self.begin_s, self.end_s = begin_s, begin_s + measured_s
        self.samples: list[tuple[float, float]] = []

    def figures(self, images: int) -> Figures:
        """What they come to, with so many images in each."""
        requests = sum(self._share(*sample) for sample in self.samples)
        p50_ms, p99_ms = percentiles([1000 * (ended_s - began_s) for began_s, ended_s in self.samples], (50, 99))
        return Figures(requests * images / (self.end_s - self.begin_s), p50_ms, p99_ms)

    def _share(self, began_s: float, ended_s: float) -> float:
        """How much of a request lies in the time that is measured: those across its edges count in part."""
        return (min(ended_s, self.end_s) - max(began_s, self.begin_s)) / (ended_s - began_s)


def _client(port: int, content: bytes, answered: Answered) -> None:
    with socket.create_connection((LOOPBACK, port), timeout=_LIMIT_S) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while (began_s := time.perf_counter()) < answered.end_s:
            _ask(connection, content)
            ended_s = time.perf_counter()
            if ended_s > answered.begin_s:
                answered.samples.append((began_s, ended_s))


def _ask(connection: socket.socket, content: bytes) -> None:
    connection.sendall(content)
    received = connection.recv(65536)
    while b"\r\n\r\n" not in received:
        received += _more(connection)
    head, _, body = received.partition(b"\r\n\r\n")
    length = _LENGTH.search(head)
    if not head.startswith(b"HTTP/1.1 200") or not length:
        raise RuntimeError(f"the server refused a request of the benchmark: {received[:300]!r}")
    left = int(length[1]) - len(body)
    while left > 0:
        left -= len(_more(connection))


def _more(connection: socket.socket) -> bytes:
    received = connection.recv(65536)
    if not received:
        raise RuntimeError("the server closed the connection of the benchmark")
    return received


def _request(model: str, images: Sequence[bytes]) -> bytes:
    """Triton's HTTP request with binary tensors (its "Binary Tensor Data Extension"): each image after its length."""
    data = b"".join(len(image).to_bytes(4, "little") + image for image in images)
    image = {"name": "image", "shape": [len(images), 1], "datatype": "BYTES"}
    described = {
        "inputs": [{**image, "parameters": {"binary_data_size": len(data)}}],
        "outputs": [{"name": "probabilities", "parameters": {"binary_data": True}}],
    }
    head = json.dumps(described).encode()
    lines = (
        f"POST /v2/models/{model}/infer HTTP/1.1",
        f"Host: {LOOPBACK}",
        f"Inference-Header-Content-Length: {len(head)}",
        f"Content-Length: {len(head) + len(data)}",
        "\r\n",
    )
    return "\r\n".join(lines).encode() + head + data
