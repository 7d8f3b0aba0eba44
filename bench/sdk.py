"""The SDK beside plain tritonclient, on the same server, with a model that does nothing and with a real one."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio

from bench import idle, plain
from bench.comparison import Comparison, Measure
from bench.pictures import bitmap, photograph
from scripts.embedded import EmbeddedServer
from scripts.pipeline import populate
from tritonclas import AsyncClassifier, Classifier, zoo

MODEL = "EfficientNetB0"
IN_FLIGHT = 32
REQUESTS = 1600
BATCH = 8


def compare() -> Iterator[Comparison]:
    """Everything, one after the other."""
    with tempfile.TemporaryDirectory(prefix="tritonclas-bench-") as folder:
        repository = Path(folder)
        idle.write(repository)
        with EmbeddedServer([idle.NAME], repository) as server:
            yield _one_at_a_time(server.url)
            yield _many_at_a_time(server.url)
            yield from _shared_memory(server.url)
        populate(zoo.find(MODEL), "synthetic", repository)
        with EmbeddedServer([MODEL], repository) as server:
            yield _in_batches(server.url)


def _one_at_a_time(url: str) -> Comparison:
    image = photograph(500, 375)
    with Classifier(url, idle.NAME) as ours, triton.InferenceServerClient(url) as theirs:
        taken = Measure(15, 300).seconds(lambda: ours.classify(image), lambda: plain.classify(theirs, idle.NAME, image))
    return Comparison("classify, one at a time, JPEG 500x375", "tritonclient", *taken, "most", 1.05)


def _many_at_a_time(url: str) -> Comparison:
    """Both in one event loop, on connections that are there already."""
    image, loop = photograph(500, 375), asyncio.new_event_loop()
    ours, theirs = loop.run_until_complete(_connected(url))
    try:
        taken = Measure(21, 1).seconds(
            lambda: loop.run_until_complete(_in_flight(lambda: ours.classify(image))),
            lambda: loop.run_until_complete(_in_flight(lambda: plain.classify_async(theirs, idle.NAME, image))),
        )
    finally:
        for client in (ours, theirs):
            loop.run_until_complete(client.close())
        loop.close()
    name = f"classify, asyncio, {REQUESTS} requests, {IN_FLIGHT} in flight"
    return Comparison(name, "tritonclient.grpc.aio", *taken, "least", 1.0)


async def _connected(url: str) -> tuple[AsyncClassifier, Any]:
    return AsyncClassifier(url, idle.NAME), triton_aio.InferenceServerClient(url)  # which takes the running loop


async def _in_flight(classify: Callable[[], Awaitable[object]]) -> None:
    left = iter(range(REQUESTS))

    async def ask() -> None:
        for _ in left:
            await classify()

    await asyncio.gather(*(ask() for _ in range(IN_FLIGHT)))


def _shared_memory(url: str) -> Iterator[Comparison]:
    """Payloads of the size that a network's input has as float32, and as uint8."""
    for kind, side, bound in (("float32", 448, 3.0), ("uint8", 224, 1.0)):
        images = [bitmap(side)] * BATCH
        with Classifier(url, idle.NAME, shared_memory=True) as ours, Classifier(url, idle.NAME) as theirs:
            taken = Measure(15, 60).seconds(
                lambda ours=ours, images=images: ours.probabilities(images),  # type: ignore[misc]
                lambda theirs=theirs, images=images: theirs.probabilities(images),  # type: ignore[misc]
            )
        name = f"shared memory, batch of {BATCH}, {len(images[0]) // 1000} kB each (224x224 {kind})"
        yield Comparison(name, "the connection", *taken, "least", bound)


def _in_batches(url: str) -> Comparison:
    image, requests = photograph(500, 375), 24
    with Classifier(url, MODEL) as ours, triton.InferenceServerClient(url) as theirs:
        images = [image] * BATCH

        def classified() -> None:
            results = ours.classify_many(itertools.repeat(image, BATCH * requests), batch_size=BATCH, in_flight=BATCH)
            assert sum(1 for _ in results) == BATCH * requests

        taken = Measure(7, 1).seconds(
            classified, lambda: plain.pipeline(theirs, MODEL, images, in_flight=BATCH, requests=requests)
        )
    name = f"classify_many on {MODEL}, {BATCH} batches of {BATCH} in flight"
    return Comparison(name, "raw pipelining of one prepared request", *taken, "least", 0.95)
