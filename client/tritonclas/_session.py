"""A classifier's calls as exchanges: what the blocking and the async client carry out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, TypeVar, Union

import numpy as np
from numpy.typing import NDArray

from tritonclas import _core, _messages
from tritonclas._arguments import check_counts
from tritonclas._exchange import Call, Exchange, Prepare
from tritonclas._labels import names_of
from tritonclas._retry import Retries
from tritonclas._route import ModelFacts, Route, client_side, model_facts, ready_made, server_side
from tritonclas._same_machine import SameMachine
from tritonclas._tracing import call_span
from tritonclas.errors import AccessDenied, ImageRejected, InvalidRequest, ModelNotFound, ModelNotReady
from tritonclas.images import ImageSource
from tritonclas.results import Classification

T = TypeVar("T")
Place = Literal["server", "client", "none"]
Labels = Union[str, "os.PathLike[str]", Sequence[str], None]

#: Images a request unless the caller says otherwise: the largest batch that the published tables measure.
USUAL_BATCH_SIZE = 8


def session(model: str, preprocess: Place, retries: int, *, labels: Labels, shared_memory: bool) -> Session:
    """What a client is asked for; InvalidRequest if it makes no sense."""
    if preprocess not in ("server", "client", "none"):
        raise InvalidRequest(f"preprocess is {preprocess!r}; it must be 'server', 'client' or 'none'")
    return Session(model, preprocess, Retries(retries), names_of(labels), SameMachine() if shared_memory else None)


@dataclass
class Session:
    """One model, and what has been read of its configuration; shared by all calls of a client."""

    model: str
    preprocess: Place
    retries: Retries
    names: tuple[str, ...] | None = None
    memory: SameMachine | None = None
    _facts: ModelFacts | None = field(default=None, init=False)
    _route: Route | None = field(default=None, init=False)

    def classify(
        self, call: Call, images: Sequence[ImageSource], first: int, top_k: int
    ) -> Exchange[list[Classification | ImageRejected]]:
        """One request's images; `first` is the place of the first of them in the caller's sequence."""
        check_counts(top_k=top_k)
        read = partial(_messages.classifications, self.model, self.names)
        return (yield from self._answer(call, images, first, top_k, read))

    def probabilities(self, call: Call, images: Sequence[ImageSource]) -> Exchange[NDArray[np.float32]]:
        """Any number of images, as many to a request as the model takes."""
        facts = yield from self.facts(call)
        rows: list[NDArray[np.float32]] = []
        for first in range(0, len(images), facts.max_batch_size):
            part = images[first : first + facts.max_batch_size]
            rows += _core.only((yield from self._answer(call, part, first, None, _messages.probabilities)))
        return np.stack(rows) if rows else np.empty((0, facts.classes), np.float32)

    def facts(self, call: Call) -> Exchange[ModelFacts]:
        """The model's configuration, read once."""
        if self._facts is None:
            self._facts = yield from model_facts(call)
        return self._facts

    def release(self, call: Call) -> Exchange[None]:
        """What is left to do in the end."""
        if self.memory:
            yield from self.memory.release(call)

    def usual_batch_size(self, call: Call) -> Exchange[int]:
        """What to send at once: 8 images, or as many as the model takes, if that is fewer and may be asked."""
        try:
            return min(USUAL_BATCH_SIZE, (yield from self.facts(call)).max_batch_size)
        except AccessDenied:
            return USUAL_BATCH_SIZE

    def _answer(
        self,
        call: Call,
        images: Sequence[ImageSource],
        first: int,
        top_k: int | None,
        read: _core.Read[T],
    ) -> Exchange[list[T | ImageRejected]]:
        with call_span(self.model, len(images)) as call.span:
            known = self._route
            route = yield from self._its_route(call)
            call.check_time()
            batch = yield Prepare(partial(_core.prepare, route, images, first), all(map(route.quick, images)))
            try:
                return (yield from _core.infer(call, route, batch, top_k, read))
            except (ModelNotFound, ModelNotReady):
                if route is not known or not route.version:
                    raise
            # The version that was in service when the route was made is gone; the ensemble tells which one is now.
            self._facts = self._route = None
            return (yield from _core.infer(call, (yield from self._its_route(call)), batch, top_k, read))

    def _its_route(self, call: Call) -> Exchange[Route]:
        if self._route is None:
            if self.names:
                yield from self._check_names(call, len(self.names))
            if self.preprocess == "server":
                self._route = server_side(self.model, self.memory)
            else:
                to_network = client_side if self.preprocess == "client" else ready_made
                self._route = to_network(call, (yield from self.facts(call)), self.memory)
        return self._route

    def _check_names(self, call: Call, count: int) -> Exchange[None]:
        """InvalidRequest unless there is a name for every class."""
        try:
            classes = (yield from self.facts(call)).classes
        except AccessDenied:
            return
        if count != classes:
            raise call.error(InvalidRequest, f"labels has {count} names, and the model {classes} classes")
