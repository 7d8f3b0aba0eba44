"""The asyncio client: what `Classifier` does, awaited."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from tritonclas import _core
from tritonclas._arguments import check_counts, check_one, check_several, checked_name
from tritonclas._async_transport import AsyncTransport
from tritonclas._client import DEFAULT_TIMEOUT_S, LAST_CALL_S, AsyncClient
from tritonclas._exchange import Call, Exchange
from tritonclas._retry import USUAL_RETRIES, limit_for
from tritonclas._security import Tls
from tritonclas._session import session
from tritonclas.errors import ImageRejected
from tritonclas.images import ImageSource
from tritonclas.results import Classification

T = TypeVar("T")


class AsyncClassifier(AsyncClient):
    """Classifies images with one model on Triton, from one event loop. Arguments are `Classifier`'s.

    Files are read and pictures are decoded in threads, so that the loop isn't held up. A task that is cancelled
    cancels its request.

        async with AsyncClassifier("localhost:8001", "EfficientNetB0") as classifier:
            print((await classifier.classify("cat.jpg")).top.name)

    All methods raise subclasses of TritonClasError.
    """

    def __init__(
        self,
        url: str | Sequence[str],
        model: str,
        *,
        version: int | None = None,
        preprocess: Literal["server", "client", "none"] = "server",
        timeout_s: float = DEFAULT_TIMEOUT_S,
        retries: int = USUAL_RETRIES,
        labels: str | os.PathLike[str] | Sequence[str] | None = None,
        shared_memory: bool = False,
        compression: Literal["deflate", "gzip"] | None = None,
        tls: Tls | None = None,
        headers: Mapping[str, str] | None = None,
        transport: AsyncTransport | None = None,
    ) -> None:
        self.model = checked_name(model, version)
        limit = limit_for(url, retries)
        self._session = session(self.model, preprocess, limit, labels=labels, shared_memory=shared_memory)
        super().__init__(url, timeout_s, tls, headers, transport, compression=compression)
        if shared_memory:
            check_one(url)
        self.preprocess = preprocess

    async def classify(self, image: ImageSource, *, top_k: int = 5, timeout_s: float | None = None) -> Classification:
        """The `top_k` most probable classes of one image."""
        return _core.only(await self._classify_batch([image], 0, top_k, timeout_s))[0]

    def classify_many(
        self,
        images: Iterable[ImageSource] | AsyncIterable[ImageSource],
        *,
        top_k: int = 5,
        batch_size: int | None = None,
        in_flight: int = 4,
        timeout_s: float | None = None,
    ) -> AsyncGenerator[Classification | ImageRejected, None]:
        """Classify any number of images lazily, in order: one result for each, an ImageRejected for a bad one.

        Images are sent `batch_size` to a request (8 unless the model takes fewer), with at most `in_flight`
        requests under way; no more of `images` is read than these need, before the first result too.
        `timeout_s` holds for each request. Whoever leaves early cancels what is under way (with `contextlib.aclosing`,
        at once).
        """
        check_several(images)
        check_counts(top_k=top_k, batch_size=1 if batch_size is None else batch_size, in_flight=in_flight)
        answer = partial(self._classify_batch, top_k=top_k, timeout_s=timeout_s)
        return self._pipelined(answer, images, batch_size, in_flight, timeout_s)

    async def probabilities(
        self, images: Iterable[ImageSource], *, timeout_s: float | None = None
    ) -> NDArray[np.float32]:
        """Probabilities of all classes, float32 [N, classes], in as few requests as the model's batch size allows."""
        check_several(images)
        return await self._carry_out(self._session.probabilities(self._call(timeout_s), list(images)))

    async def max_batch_size(self) -> int:
        """How many images one request may hold; read from the server once."""
        return (await self._carry_out(self._session.facts(self._call(None)))).max_batch_size

    def __repr__(self) -> str:
        return f"AsyncClassifier({self.url!r}, {self.model!r}, preprocess={self.preprocess!r})"

    async def _classify_batch(
        self, images: Sequence[ImageSource], first: int, top_k: int, timeout_s: float | None
    ) -> list[Classification | ImageRejected]:
        return await self._carry_out(self._session.classify(self._call(timeout_s), images, first, top_k))

    async def _pipelined(
        self,
        answer: Callable[[Sequence[ImageSource], int], Awaitable[list[T]]],
        images: Iterable[ImageSource] | AsyncIterable[ImageSource],
        batch_size: int | None,
        in_flight: int,
        timeout_s: float | None,
    ) -> AsyncGenerator[T, None]:
        """Answers in order, with at most `in_flight` batches under way; leaving early cancels them."""
        if batch_size is None:
            batch_size = await self._carry_out(self._session.usual_batch_size(self._call(timeout_s)))
        under_way: deque[asyncio.Future[list[T]]] = deque()
        first = 0
        try:
            async for batch in _batches(images, batch_size):
                under_way.append(asyncio.ensure_future(answer(batch, first)))
                first += len(batch)
                while under_way and (len(under_way) >= in_flight or under_way[0].done()):
                    for result in await under_way.popleft():
                        yield result
            while under_way:
                for result in await under_way.popleft():
                    yield result
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    def _last(self) -> Exchange[None]:
        return self._session.release(self._begin(self.model, LAST_CALL_S))

    def _call(self, timeout_s: float | None) -> Call:
        return self._begin(self.model, timeout_s, self._session.retries)


async def _batches(
    images: Iterable[ImageSource] | AsyncIterable[ImageSource], size: int
) -> AsyncGenerator[list[ImageSource], None]:
    """The images, `size` at a time, read when they are wanted."""
    if not isinstance(images, AsyncIterable):
        source = iter(images)
        while batch := list(islice(source, size)):
            yield batch
        return
    batch = []
    async for image in images:
        batch.append(image)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
