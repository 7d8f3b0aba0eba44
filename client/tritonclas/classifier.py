"""The blocking client: images in, labelled probabilities out."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from itertools import islice
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from tritonclas import _core
from tritonclas._arguments import check_counts, check_one, check_several, checked_name
from tritonclas._client import DEFAULT_TIMEOUT_S, LAST_CALL_S, Client
from tritonclas._exchange import Call, Exchange
from tritonclas._retry import USUAL_RETRIES, limit_for
from tritonclas._security import Tls
from tritonclas._session import session
from tritonclas._transport import Transport, UnderWay
from tritonclas.errors import ImageRejected
from tritonclas.images import ImageSource
from tritonclas.results import Classification

T = TypeVar("T")


class Classifier(Client):
    """Classifies images with one model on Triton. Threads may share it, forked processes may not.

    `url` is Triton's gRPC endpoint, HOST:PORT. A list of several servers' endpoints, or `dns:///HOST:PORT` for all
    addresses of a name, shares the requests out to those that are connected (gRPC's round_robin). Names in a list are
    resolved once; where addresses change, give a `dns:///` name, which gRPC resolves again.

    `version` asks for one of the versions that a server has beside each other; without it the one in service answers.

    With `preprocess="server"` the encoded files are sent to the ensemble; with `"client"` they are decoded and cropped
    here and the crops are sent to the network: less work for the server, and fewer bytes where files are large. Both
    give the same answers. With `"none"` the images are crops already, uint8 arrays [crop, crop, 3] (RGB) of the size
    that the network takes, and are sent as they are.

    `timeout_s` is the total time in seconds that a call may take. Within it, a request that nobody answered is sent
    again, at most `retries` times (with several endpoints twice as often) and after a random pause; one that an
    overloaded server refused is not.

    `labels` are names of the classes, where the server has none or others: one for each class, or a file with one a
    line.

    `shared_memory=True` is for a client on the server's own machine: images go through shared memory instead of the
    connection, which is quicker the larger they are. Where that can't be, a warning says so, and they don't.

    `compression` is of requests. It is for crops (`preprocess="client"` or `"none"`) on a slow network; encoded images
    don't get smaller.

    `tls` encrypts the connection. `headers` go with every request, such as those of Triton's restricted protocols;
    `with_headers` adds some for a few.

        with Classifier("localhost:8001", "EfficientNetB0") as classifier:
            print(classifier.classify("cat.jpg").top.name)

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
        transport: Transport | None = None,
    ) -> None:
        self.model = checked_name(model, version)
        limit = limit_for(url, retries)
        self._session = session(self.model, preprocess, limit, labels=labels, shared_memory=shared_memory)
        super().__init__(url, timeout_s, tls, headers, transport, compression=compression)
        if shared_memory:
            check_one(url)
        self.preprocess = preprocess

    def classify(self, image: ImageSource, *, top_k: int = 5, timeout_s: float | None = None) -> Classification:
        """The `top_k` most probable classes of one image."""
        return _core.only(self._classify_batch([image], 0, top_k, timeout_s))[0]

    def classify_many(
        self,
        images: Iterable[ImageSource],
        *,
        top_k: int = 5,
        batch_size: int | None = None,
        in_flight: int = 4,
        timeout_s: float | None = None,
    ) -> Generator[Classification | ImageRejected, None, None]:
        """Classify any number of images lazily, in order: one result for each, an ImageRejected for a bad one.

        Images are sent `batch_size` to a request (8 unless the model takes fewer), with at most `in_flight`
        requests under way; no more of `images` is read than these need, before the first result too.
        `timeout_s` holds for each request. Whoever leaves early cancels what is under way.
        """
        check_several(images)
        check_counts(top_k=top_k, batch_size=1 if batch_size is None else batch_size, in_flight=in_flight)
        under_way = UnderWay()
        answer = partial(self._classify_batch, top_k=top_k, timeout_s=timeout_s, under_way=under_way)
        size = batch_size or partial(self._usual_batch_size, timeout_s)
        return self._pipelined(answer, under_way, images, size, in_flight)

    def probabilities(self, images: Iterable[ImageSource], *, timeout_s: float | None = None) -> NDArray[np.float32]:
        """Probabilities of all classes, float32 [N, classes], in as few requests as the model's batch size allows."""
        check_several(images)
        return self._carry_out(self._session.probabilities(self._call(timeout_s), list(images)))

    def max_batch_size(self) -> int:
        """How many images one request may hold; read from the server once."""
        return self._carry_out(self._session.facts(self._call(None))).max_batch_size

    def __repr__(self) -> str:
        return f"Classifier({self.url!r}, {self.model!r}, preprocess={self.preprocess!r})"

    def _classify_batch(
        self,
        images: Sequence[ImageSource],
        first: int,
        top_k: int,
        timeout_s: float | None,
        under_way: UnderWay | None = None,
    ) -> list[Classification | ImageRejected]:
        return self._carry_out(self._session.classify(self._call(timeout_s), images, first, top_k), under_way)

    def _usual_batch_size(self, timeout_s: float | None) -> int:
        return self._carry_out(self._session.usual_batch_size(self._call(timeout_s)))

    def _pipelined(
        self,
        answer: Callable[[Sequence[ImageSource], int], list[T]],
        under_way: UnderWay,
        images: Iterable[ImageSource],
        batch_size: int | Callable[[], int],
        in_flight: int,
    ) -> Generator[T, None, None]:
        """Answers in order, with at most `in_flight` batches under way; leaving early cancels them."""
        size = batch_size if isinstance(batch_size, int) else batch_size()
        source = iter(images)
        answers: deque[Future[list[T]]] = deque()
        first = 0
        pool = ThreadPoolExecutor(in_flight)
        try:
            while True:
                self._check_usable()  # a fork has no threads
                while not _ready(answers, in_flight) and (batch := list(islice(source, size))):
                    answers.append(pool.submit(copy_context().run, answer, batch, first))
                    first += len(batch)
                if not answers:
                    return
                yield from answers.popleft().result()
        finally:
            if not self._life.forked:  # what is under way is the parent's
                pool.shutdown(wait=False, cancel_futures=True)
                under_way.give_up()

    def _last(self) -> Exchange[None]:
        return self._session.release(self._begin(self.model, LAST_CALL_S))

    def _call(self, timeout_s: float | None) -> Call:
        return self._begin(self.model, timeout_s, self._session.retries)


def _ready(answers: deque[Future[list[T]]], in_flight: int) -> bool:
    """Whether results are to be handed on before more is read: they are there, or as much as may be is under way."""
    return bool(answers) and (len(answers) >= in_flight or answers[0].done())
