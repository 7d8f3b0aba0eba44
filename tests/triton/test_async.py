"""The async client, several servers and retries on the real Triton."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import pytest

from scripts.embedded import EmbeddedServer
from scripts.photographs import EXAMPLES, photographs
from tests.triton.commands import wait_for
from tests.triton.conftest import REAL, SYNTHETIC
from tritonclas import (
    AsyncClassifier,
    AsyncModelServer,
    Classification,
    Classifier,
    ImageRejected,
    InvalidRequest,
    ModelNotReady,
    ModelServer,
    zoo,
)

PICTURES = sorted(EXAMPLES.glob("*.jpg"))


@pytest.mark.parametrize("preprocess", ["server", "client"])
def test_both_kinds_of_client_answer_the_same(server, preprocess):
    sources = [PICTURES[0], b"no picture", PICTURES[1].read_bytes(), PICTURES[2]]

    async def ask() -> tuple[list[Classification | ImageRejected], np.ndarray]:
        async with AsyncClassifier(server.url, REAL, preprocess=preprocess) as client:
            many = [result async for result in client.classify_many(sources, batch_size=2)]
            assert await client.classify(PICTURES[0]) == many[0]
            return many, await client.probabilities(PICTURES)

    many, probabilities = asyncio.run(ask())
    with Classifier(server.url, REAL, preprocess=preprocess) as client:
        for one, other in zip(many, client.classify_many(sources, batch_size=2), strict=True):
            assert (one == other) or (one.source, one.reason) == (other.source, other.reason)
        np.testing.assert_array_equal(probabilities, client.probabilities(PICTURES))


def test_ready_crops_are_answered_the_same(server, cropping_classifier):
    crops = photographs(zoo.find(REAL), EXAMPLES)

    async def ask() -> list[Classification | ImageRejected]:
        async with AsyncClassifier(server.url, REAL, preprocess="none") as client:
            return [result async for result in client.classify_many(crops, batch_size=2)]

    assert asyncio.run(ask()) == list(cropping_classifier.classify_many(PICTURES, batch_size=2))


def test_the_server_is_looked_after_the_same(server):
    async def look() -> list[object]:
        async with AsyncModelServer(server.url) as control:
            await control.wait_ready([REAL, SYNTHETIC])
            await control.unload(SYNTHETIC)
            unloaded = await control.ready(SYNTHETIC)
            await control.load(SYNTHETIC)
            return [
                await control.live(),
                await control.ready(),
                unloaded,
                await control.ready(SYNTHETIC),
                await control.version(),
                sorted(status.name for status in await control.models()),
                (await control.statistics(REAL))[0].name,
            ]

    with ModelServer(server.url) as control:
        names = sorted(status.name for status in control.models())
        assert asyncio.run(look()) == [True, True, False, True, control.version(), names, REAL]


@pytest.mark.parametrize("asynchronous", [False, True], ids=["blocking", "asyncio"])
def test_a_model_is_loaded_with_another_configuration(server, asynchronous):
    name = f"{SYNTHETIC}_net"

    async def load(changes: dict[str, object]) -> dict[str, object]:
        async with AsyncModelServer(server.url) as control:
            await control.load(name, config=await control.config(name) | changes)
            return await control.config(name)

    with ModelServer(server.url) as control:
        before = control.config(name)
        with pytest.raises(InvalidRequest, match="no such model, or doesn't take this configuration"):
            control.load(name, config=before | {"max_batch_size": 2})  # less than its preferred_batch_size
        changes = {"dynamic_batching": {}}
        if asynchronous:
            after = asyncio.run(load(changes))
        else:
            control.load(name, config=before | changes)
            after = control.config(name)
        assert "default_queue_policy" in before["dynamic_batching"]
        assert "default_queue_policy" not in after["dynamic_batching"]
        control.unload(SYNTHETIC)
        control.load(SYNTHETIC)
        assert control.config(name) == after, "Triton keeps it"
        control.load(name, config=before)
        assert control.config(name) == before


def test_log_and_trace_settings_change_and_change_back(server):
    with ModelServer(server.url) as control:
        assert control.log_settings({"log_verbose_level": 1})["log_verbose_level"] == 1
        assert control.log_settings({"log_verbose_level": 0})["log_verbose_level"] == 0
        rate = control.trace_settings(REAL)["trace_rate"]
        assert control.trace_settings(REAL, {"trace_rate": "7"})["trace_rate"] == ("7",)
        assert control.trace_settings()["trace_rate"] == rate
        assert control.trace_settings(REAL, {"trace_rate": None})["trace_rate"] == rate


def test_a_model_that_is_loaded_meanwhile_answers_after_all(server):
    with ModelServer(server.url) as control, Classifier(server.url, SYNTHETIC, retries=50, timeout_s=60) as client:
        expected = client.classify(PICTURES[0])
        control.unload(SYNTHETIC)
        with Classifier(server.url, SYNTHETIC, retries=0) as impatient, pytest.raises(ModelNotReady):
            impatient.classify(PICTURES[0])
        loading = threading.Timer(0.5, control.load, [SYNTHETIC])
        loading.start()
        assert client.classify(PICTURES[0]) == expected
        loading.join()


@pytest.fixture
def two(repository: Path) -> Iterator[list[EmbeddedServer]]:
    with EmbeddedServer([REAL], repository) as one, EmbeddedServer([REAL], repository) as other:
        yield [one, other]


def served(server: EmbeddedServer) -> int:
    with ModelServer(server.url) as control:
        return control.statistics(f"{REAL}_net")[0].inferences


@pytest.mark.parametrize("asynchronous", [False, True], ids=["blocking", "asyncio"])
def test_a_server_that_is_killed_under_load_costs_no_call(two, asynchronous):
    stays, dies = two
    count = 400
    urls, pictures = [server.url for server in two], list(islice(cycle(PICTURES), count))

    def kill(answered: int) -> None:
        if answered == count // 4:
            assert served(dies) > 0
            dies.process.kill()

    async def ask() -> list[Classification | ImageRejected]:
        results = []
        async with AsyncClassifier(urls, REAL) as client:
            async for result in client.classify_many(pictures, batch_size=1, in_flight=16):
                results.append(result)
                kill(len(results))
        return results

    if asynchronous:
        results = asyncio.run(ask())
    else:
        results = []
        with Classifier(urls, REAL) as client:
            for result in client.classify_many(pictures, batch_size=1, in_flight=16):
                results.append(result)
                kill(len(results))
    assert dies.process.wait(10) != 0
    with Classifier(stays.url, REAL) as client:
        expected = [client.classify(picture).top.index for picture in PICTURES]
    assert [result.top.index for result in results] == list(islice(cycle(expected), count))
    wait_for(lambda: served(stays) >= count - count // 4)
