"""What the clients do, as exchanges: no I/O here, so that the sync and the async client share every line."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from tritonclas import _messages, images
from tritonclas._exchange import Call, Exchange, Pause
from tritonclas._route import Payload, Route
from tritonclas.errors import (
    DeadlineExceeded,
    ImageRejected,
    InvalidRequest,
    ModelNotFound,
    ModelNotReady,
    ServerUnavailable,
)
from tritonclas.images import ImageSource
from tritonclas.preprocess import BadImage, parse_rejections
from tritonclas.results import ModelStatistics, ModelStatus, Timing

T = TypeVar("T")

_POLL_S = 0.05

#: Numbers for requests; the application's own `random` is left alone, and a forked process has others.
_IDS = random.Random()  # noqa: S311  nothing is secret about them
os.register_at_fork(after_in_child=_IDS.seed)


Read = Callable[[Any, str, Timing], Sequence[T]]


class Batch(NamedTuple):
    """Images ready to be sent, by their places, why the others can't be, and the seconds that this took.

    `first` is the place of the first of them in the caller's sequence, for messages.
    """

    images: Sequence[ImageSource]
    first: int
    payloads: Mapping[int, Payload]
    unreadable: Mapping[int, str]
    seconds: float

    def source(self, index: int) -> str:
        """How messages name an image."""
        return images.describe(self.images[index], self.first + index)


def prepare(route: Route, sources: Sequence[ImageSource], first: int = 0) -> Batch:
    """Read, and where the route wants it preprocess, images: what a driver does in a thread of its own choice."""
    begin_s = time.monotonic()
    payloads: dict[int, Payload] = {}
    unreadable: dict[int, str] = {}
    for index, source in enumerate(sources):
        try:
            payloads[index] = route.prepare(source)
        except BadImage as error:
            unreadable[index] = str(error)
    return Batch(sources, first, payloads, unreadable, time.monotonic() - begin_s)


def infer(
    call: Call, route: Route, batch: Batch, top_k: int | None, read: Read[T]
) -> Exchange[list[T | ImageRejected]]:
    """Answer a batch; an image that can't be read or that the server rejects gets an ImageRejected in its place.

    Triton answers a request as a whole, so the accepted images are sent again without the rejected.
    """
    results: dict[int, T | ImageRejected] = {
        index: _rejection(call, batch.source(index), reason) for index, reason in batch.unreadable.items()
    }
    request_id, before = f"{_IDS.getrandbits(64):016x}", call.inferences
    begin_s = call.deadline.clock()
    while pending := [index for index in batch.payloads if index not in results]:
        tensor = route.tensor([batch.payloads[index] for index in pending])
        question = _messages.Question(route.target, tensor, top_k, request_id, route.version)
        try:
            answer = yield from _ask(call, route, question)
        except InvalidRequest as error:
            results |= _rejected(call, batch, pending, error)
        else:
            timing = Timing(batch.seconds, call.deadline.clock() - begin_s, call.inferences - before)
            results |= dict(zip(pending, read(answer, request_id, timing), strict=True))
    answers = [results[index] for index in range(len(batch.images))]
    rejected = sum(isinstance(answer, ImageRejected) for answer in answers)
    call.tally.answered(len(answers) - rejected, rejected)
    call.span.add(request_id=request_id, rejected=rejected)
    return answers


def _ask(call: Call, route: Route, question: _messages.Question) -> Exchange[Any]:
    if route.memory is None:
        return call.rpc_in_time("ModelInfer", question.message)
    return route.memory.ask(call, question.tensor, question.message)


def _rejected(call: Call, batch: Batch, pending: list[int], error: InvalidRequest) -> dict[int, ImageRejected]:
    """The rejected images by their places; the error itself if it isn't about images."""
    reasons = {index: reason for index, reason in parse_rejections(str(error)).items() if index < len(pending)}
    if not reasons:
        raise error
    return {pending[at]: _rejection(call, batch.source(pending[at]), why, error) for at, why in reasons.items()}


def _rejection(call: Call, source: str, reason: str, cause: Exception | None = None) -> ImageRejected:
    context = {"model": call.model, "endpoint": call.endpoint, "attempts": call.attempts}
    error = ImageRejected(f"{source}: {reason}", source=source, reason=reason, **context)
    error.__cause__ = _without_frames(cause)
    return error


def _without_frames(error: BaseException | None) -> BaseException | None:
    """The error, and those that it came from, without what their calls held: all pictures of the batch."""
    following = error
    while following is not None:
        following.__traceback__ = None
        following = following.__cause__
    return error


def server_is(call: Call, method: str, request: Any) -> Exchange[bool]:
    """Whether the server says yes to a health question; no when nobody answers."""
    try:
        answer = yield from call.rpc(method, request)
    except (ServerUnavailable, ModelNotFound, ModelNotReady, DeadlineExceeded):
        return False
    return bool(getattr(answer, "live", False) or getattr(answer, "ready", False))


def ready(call: Call) -> Exchange[bool]:
    """Whether the call's model answers requests, or if it has none the server."""
    if call.model is None:
        return server_is(call, "ServerReady", _messages.server_ready())
    return server_is(call, "ModelReady", _messages.model_ready(call.model))


def wait_ready(call: Call, models: Sequence[str]) -> Exchange[None]:
    """Wait until the server and these models are ready; DeadlineExceeded, naming what isn't, if that takes too long."""
    questions = [("the server", "ServerReady", _messages.server_ready())]
    questions += [(model, "ModelReady", _messages.model_ready(model)) for model in models]
    for what, method, request in questions:
        while not (yield from server_is(call, method, request)):
            if call.deadline.remaining_s <= _POLL_S:
                raise call.error(DeadlineExceeded, f"{what} isn't ready after {call.deadline.total_s:g} s")
            yield Pause(_POLL_S)


def server_version(call: Call) -> Exchange[str]:
    """Triton's version."""
    return str((yield from call.rpc("ServerMetadata", _messages.server_metadata())).version)


def models(call: Call) -> Exchange[list[ModelStatus]]:
    """All models in the server's repository."""
    return _messages.model_statuses((yield from call.rpc("RepositoryIndex", _messages.repository_index())))


def config(call: Call) -> Exchange[dict[str, Any]]:
    """The configuration of the call's model."""
    return _messages.config((yield from call.rpc("ModelConfig", _messages.config_of(call.model or ""))))


def load(call: Call, config: Mapping[str, Any] | None) -> Exchange[None]:
    """Load the call's model."""
    try:
        request = _messages.load(call.model or "", config)
    except (TypeError, ValueError) as error:
        raise call.error(InvalidRequest, f"the configuration can't be written as JSON ({error})") from error
    try:
        yield from call.rpc("RepositoryModelLoad", request)
    except ModelNotFound as error:
        if config is None:
            raise
        unknown = "the server has no such model, or doesn't take this configuration; its log says which"
        raise call.error(InvalidRequest, unknown) from error


def unload(call: Call) -> Exchange[None]:
    """Unload the call's model, and of an ensemble also what it consists of."""
    yield from call.rpc("RepositoryModelUnload", _messages.unload(call.model or ""))


def statistics(call: Call) -> Exchange[list[ModelStatistics]]:
    """Statistics of the call's model, or of all."""
    return _messages.model_statistics(
        (yield from call.rpc("ModelStatistics", _messages.statistics_of(call.model or "")))
    )


def log_settings(call: Call, changes: Mapping[str, Any] | None) -> Exchange[dict[str, _messages.Setting]]:
    """Change the server's log settings, if any; those that hold."""
    for name, value in (changes or {}).items():
        if type(value) not in (bool, int, str) or (type(value) is int and not 0 <= value < 2**32):
            raise call.error(InvalidRequest, f"log settings are bools, strings and ints from 0 on, and {name} is none")
    return _messages.log_settings_of((yield from call.rpc("LogSettings", _messages.log_settings(changes or {}))))


def trace_settings(
    call: Call, changes: Mapping[str, str | Sequence[str] | None] | None
) -> Exchange[dict[str, tuple[str, ...]]]:
    """Change trace settings of the call's model or of all, if any; those that hold."""
    values = {name: [value] if isinstance(value, str) else value for name, value in (changes or {}).items()}
    for name, several in values.items():
        if several is not None and not all(isinstance(value, str) for value in _iterable(several)):
            raise call.error(InvalidRequest, f"a trace setting is a string, several, or None, and {name} is none")
    request = _messages.trace_settings(call.model or "", values)
    return _messages.trace_settings_of((yield from call.rpc("TraceSetting", request)))


def _iterable(values: object) -> Iterable[object]:
    return values if isinstance(values, (list, tuple)) else [values]


def only(results: Sequence[T | ImageRejected]) -> list[T]:
    """The results if every image was accepted; otherwise the first one's error is raised."""
    accepted: list[T] = []
    for result in results:
        if isinstance(result, ImageRejected):
            raise result
        accepted.append(result)
    return accepted
