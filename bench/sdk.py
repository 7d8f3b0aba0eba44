"""The SDK beside plain tritonclient, on the same server, with a model that does nothing and with a real one."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio

from bench import idle, plain
from bench.comparison import Comparison, Measure
from bench.pictures import noise, photograph
from scripts.embedded import EmbeddedServer
from scripts.pipeline import populate
from tritonclas import AsyncClassifier, Classifier, ImageSource, zoo

MODEL = "EfficientNetB0"
IN_FLIGHT = 32
REQUESTS = 1600
BATCH = 8

#: What is hoped for beside sending one prepared request again and again, and not looking at the answers.
BOUNDS = {MODEL: 0.95, idle.NAME: 0.0}


def by_hand() -> Iterator[Comparison]:
    """The SDK and plain tritonclient, on a model that does nothing and on a network."""
    with tempfile.TemporaryDirectory(prefix="tritonclas-bench-") as folder:
        repository = Path(folder)
        idle.write(repository)
        with EmbeddedServer([idle.NAME], repository) as server:
            _check_same_answers(server.url)
            yield _one_at_a_time(server.url)
            yield _many_at_a_time(server.url)
            yield _in_batches(server.url, idle.NAME, requests=400)
        populate(zoo.find(MODEL), "synthetic", repository)
        with EmbeddedServer([MODEL], repository) as server:
            yield _in_batches(server.url, MODEL, requests=24)


def shared_memory() -> Iterator[Comparison]:
    """The SDK with shared memory and without, for crops as large as they would be as float32, and as they are."""
    with tempfile.TemporaryDirectory(prefix="tritonclas-bench-") as folder:
        repository = Path(folder)
        idle.write(repository)
        models = {side: idle.write_network(repository, side) for side in (448, 224)}
        with EmbeddedServer([idle.NAME, *models.values()], repository) as server:
            for side, bound in ((448, 3.0), (224, 1.0)):
                name = f"{BATCH} crops of {side}x{side}, {side * side * 3 // 1000} kB each"
                crops = [noise(side)] * BATCH
                yield _through_memory(server.url, models[side], name, crops, bound)
            yield _through_memory(server.url, idle.NAME, "one JPEG of 43 kB", [photograph(500, 375)], 0.0)


def _check_same_answers(url: str) -> None:
    image = photograph(500, 375)
    with Classifier(url, idle.NAME) as ours, triton.InferenceServerClient(url) as theirs:
        labels = ours.classify(image).labels
        assert [[(each.score, each.index, each.name) for each in labels]] == plain.classify(theirs, idle.NAME, image)


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
        taken = Measure(61, 1).seconds(
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


def _through_memory(url: str, model: str, name: str, images: Sequence[ImageSource], bound: float) -> Comparison:
    place: Literal["server", "client"] = "server" if model == idle.NAME else "client"
    with (
        Classifier(url, model, preprocess=place, shared_memory=True) as ours,
        Classifier(url, model, preprocess=place) as theirs,
    ):
        taken = Measure(15, 60).seconds(lambda: ours.probabilities(images), lambda: theirs.probabilities(images))
    return Comparison(name, "the connection", *taken, "least", bound)


def _in_batches(url: str, model: str, *, requests: int) -> Comparison:
    image = photograph(500, 375)
    with Classifier(url, model) as ours, triton.InferenceServerClient(url) as theirs:
        images = [image] * BATCH

        def classified() -> None:
            repeated = itertools.repeat(image, BATCH * requests)
            results = ours.classify_many(repeated, batch_size=BATCH, in_flight=BATCH)
            assert sum(1 for _ in results) == BATCH * requests

        taken = Measure(9, 1).seconds(
            classified, lambda: plain.pipeline(theirs, model, images, in_flight=BATCH, requests=requests)
        )
    name = f"classify_many, {requests} batches of {BATCH}, {BATCH} in flight; {model}"
    return Comparison(name, "one prepared request, pipelined", *taken, "least", BOUNDS[model])
