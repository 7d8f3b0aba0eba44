"""`classify_many` over very many images takes no more memory than over some."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.pictures import saying
from tests.wire.scripted import MODEL, infer
from tritonclas import AsyncClassifier, Classifier
from tritonclas._exchange import Rpc


class Answering:
    """A transport that is the server itself."""

    def call(self, rpc: Rpc, under_way: object = None) -> Any:
        return infer(rpc.request, None)  # type: ignore[arg-type]

    def close(self) -> None:
        """Nothing."""


class AnsweringAsync:
    """The same, awaited."""

    async def call(self, rpc: Rpc) -> Any:
        await asyncio.sleep(0)
        return infer(rpc.request, None)  # type: ignore[arg-type]

    async def close(self) -> None:
        """Nothing."""


def images(count: int) -> Iterator[bytes]:
    return (saying(number % 1000) + bytes(20_000) for number in range(count))


def blocking(count: int) -> int:
    with Classifier("nowhere:1", MODEL, transport=Answering()) as client:
        return sum(1 for _ in client.classify_many(images(count), batch_size=8))


def awaited(count: int) -> int:
    async def classify() -> int:
        async with AsyncClassifier("nowhere:1", MODEL, transport=AnsweringAsync()) as client:
            return len([None async for _ in client.classify_many(images(count), batch_size=8)])

    return asyncio.run(classify())


def peak_bytes(classify: Callable[[int], int], count: int) -> int:
    tracemalloc.start()
    try:
        assert classify(count) == count
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("classify", [blocking, awaited])
def test_memory_does_not_grow_with_their_number(classify: Callable[[int], int]) -> None:
    classify(100)  # what is made once
    few, many = peak_bytes(classify, 400), peak_bytes(classify, 8000)
    assert many < few + 2_000_000, "all the images are 160 MB"
