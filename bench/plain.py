"""The same work as people write it by hand with tritonclient: no retries, no deadline but gRPC's."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import tritonclient.grpc as triton

TOP_K = 5


def tensor(images: Sequence[bytes]) -> Any:
    """The input of a request, its bytes laid out as Triton wants them."""
    made = triton.InferInput("image", [len(images), 1], "BYTES")
    made.set_data_from_numpy(np.array([[image] for image in images], dtype=np.object_))
    return made


def output() -> Any:
    """The output that is asked for: the best classes."""
    return triton.InferRequestedOutput("probabilities", class_count=TOP_K)


def labels(result: Any) -> list[list[tuple[float, int, str]]]:
    """Score, index and name of the best classes of each picture."""
    rows = result.as_numpy("probabilities")
    split = [[text.decode().split(":", 2) for text in row] for row in rows]
    return [[(float(score), int(index), name) for score, index, name in row] for row in split]


def classify(client: Any, model: str, image: bytes) -> Any:
    """One image."""
    return labels(client.infer(model, [tensor([image])], outputs=[output()], client_timeout=30))


async def classify_async(client: Any, model: str, image: bytes) -> Any:
    """One image, awaited."""
    return labels(await client.infer(model, [tensor([image])], outputs=[output()], client_timeout=30))


def pipeline(client: Any, model: str, images: Sequence[bytes], *, in_flight: int, requests: int) -> None:
    """The same request again and again, made beforehand, as perf_analyzer sends it; answers aren't even looked at."""
    inputs, outputs = [tensor(images)], [output()]
    places = threading.Semaphore(in_flight)
    failed: list[Exception] = []

    def done(result: Any, error: Exception | None) -> None:
        if error:
            failed.append(error)
        places.release()

    for _ in range(requests):
        places.acquire()
        client.async_infer(model, inputs, done, outputs=outputs)
    for _ in range(in_flight):
        places.acquire()
    if failed:
        raise failed[0]
