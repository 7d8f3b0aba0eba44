"""What the clients do, driven by hand: no network, no clock, no waiting."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import model_config_pb2, service_pb2

from tests.pictures import saying as image
from tests.wire.scripted import contents
from tritonclas import _core, _route, errors
from tritonclas._exchange import Call, Deadline, Exchange, Pause, Rpc, RpcFault
from tritonclas.preprocess import Preprocessing, describe_rejections

UNAVAILABLE = RpcFault("UNAVAILABLE", "Connection refused")
URL = "host:8001"


@dataclass
class World:
    """A server whose answers are scripted, and a clock on which every request takes `request_s` seconds."""

    answer: Callable[[Rpc], Any]
    request_s: float = 0.0
    now: float = 1000.0
    rpcs: list[Rpc] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)

    def call(self, model: str | None = "EfficientNetB0", timeout_s: float = 10.0) -> Call:
        return Call(URL, Deadline.after(timeout_s, lambda: self.now), model)

    def drive(self, exchange: Exchange[Any]) -> Any:
        """Carry an exchange out to its end."""
        try:
            step = next(exchange)
            while True:
                reply = self._perform(step)
                step = exchange.throw(reply) if isinstance(reply, RpcFault) else exchange.send(reply)
        except StopIteration as end:
            return end.value

    def _perform(self, step: Rpc | Pause) -> Any:
        if isinstance(step, Pause):
            self.pauses.append(step.seconds)
            self.now += step.seconds
            return None
        self.rpcs.append(step)
        assert len(self.rpcs) < 100, "it never ends"
        self.now += self.request_s
        return self.answer(step)


ROUTE = _route.server_side("EfficientNetB0")


def images_of(rpc: Rpc) -> list[str]:
    """The images in a request, which tests write as text."""
    return [text.decode() for text in contents(rpc.request)]


def upper(rpc: Rpc) -> Any:
    """A server whose answer to each image is its text in capitals; it rejects a batch with images that say bad."""
    images = images_of(rpc)
    reasons = {at: "bad" for at, image in enumerate(images) if "bad" in image}
    if reasons:
        return RpcFault("INVALID_ARGUMENT", f"in ensemble 'X', {describe_rejections(reasons)}")
    return [image.upper() for image in images]


def infer(world: World, images: list[Any], call: Call | None = None, top_k: int | None = 5) -> list[Any]:
    batch = _core.prepare(ROUTE, [image(each.decode()) if isinstance(each, bytes) else each for each in images])
    return list(world.drive(_core.infer(call or world.call(), ROUTE, batch, top_k, lambda answer, *_: answer)))


def readable(results: list[Any]) -> list[str]:
    return [f"rejected: {r.source}: {r.reason}" if isinstance(r, errors.ImageRejected) else r for r in results]


@pytest.mark.parametrize(
    ("images", "results", "requests"),
    [
        ([b"a"], ["A"], [["a"]]),
        ([b"a", b"b", b"c"], ["A", "B", "C"], [["a", "b", "c"]]),
        ([b"a", b"bad", b"c"], ["A", "rejected: image 1: bad", "C"], [["a", "bad", "c"], ["a", "c"]]),
        ([b"bad", b"bad"], ["rejected: image 0: bad", "rejected: image 1: bad"], [["bad", "bad"]]),
        ([b"a", "none.jpg", b"c"], ["A", "rejected: none.jpg: no such file", "C"], [["a", "c"]]),
        (
            ["none.jpg", b"bad", b"c"],
            ["rejected: none.jpg: no such file", "rejected: image 1: bad", "C"],
            [["bad", "c"], ["c"]],
        ),
        (["none.jpg"], ["rejected: none.jpg: no such file"], []),
        ([], [], []),
    ],
    ids=str,
)
def test_infer(images: list[Any], results: list[str], requests: list[list[str]]) -> None:
    world = World(upper)
    assert readable(infer(world, images)) == results
    assert [images_of(rpc) for rpc in world.rpcs] == requests


def test_rejected_again_after_the_first_attempt() -> None:
    """Dynamic batching may let a server find the bad images one after the other."""

    def finds_one(rpc: Rpc) -> Any:
        bad = [at for at, image in enumerate(images_of(rpc)) if "bad" in image][:1]
        return RpcFault("INVALID_ARGUMENT", describe_rejections({bad[0]: "bad"})) if bad else upper(rpc)

    world = World(finds_one)
    results = infer(world, [b"bad1", b"b", b"bad2", b"d"])
    assert readable(results) == ["rejected: image 0: bad", "B", "rejected: image 2: bad", "D"]
    assert [images_of(rpc) for rpc in world.rpcs] == [["bad1", "b", "bad2", "d"], ["b", "bad2", "d"], ["b", "d"]]
    assert [result.attempts for result in results if isinstance(result, errors.ImageRejected)] == [1, 2]


def test_a_rejection_carries_its_context() -> None:
    (error,) = infer(World(upper), [b"bad"])
    assert (error.model, error.endpoint, error.attempts) == ("EfficientNetB0", URL, 1)
    assert (str(error), error.source, error.reason) == ("image 0: bad", "image 0", "bad")
    assert isinstance(error.__cause__, errors.InvalidRequest)


def test_a_server_that_rejects_everything_is_not_asked_for_ever() -> None:
    world = World(lambda rpc: RpcFault("INVALID_ARGUMENT", describe_rejections({0: "I like none"})))
    assert len(infer(world, [b"a", b"b", b"c"])) == 3
    assert len(world.rpcs) == 3


@pytest.mark.parametrize("message", ["unexpected shape", "image 7 rejected: there is no such image", "image rejected"])
def test_a_refusal_that_names_none_of_the_images_is_an_error(message: str) -> None:
    world = World(lambda rpc: RpcFault("INVALID_ARGUMENT", message))
    with pytest.raises(errors.InvalidRequest, match=message):
        infer(world, [b"a", b"b"])
    assert len(world.rpcs) == 1


def test_errors_carry_their_context_and_cause() -> None:
    with pytest.raises(errors.ServerUnavailable, match=f"EfficientNetB0 at {URL}: no server listens") as caught:
        infer(World(lambda rpc: UNAVAILABLE), [b"a"])
    error = caught.value
    assert (error.model, error.endpoint, error.attempts) == ("EfficientNetB0", URL, 1)
    assert error.__cause__ is UNAVAILABLE


def test_an_overloaded_server_is_not_asked_again() -> None:
    world = World(lambda rpc: RpcFault("UNAVAILABLE", "Exceeds maximum queue size"))
    with pytest.raises(errors.ServerOverloaded):
        infer(world, [b"a"])
    assert len(world.rpcs) == 1


def test_attempts_share_one_deadline() -> None:
    world = World(upper, request_s=3.0)
    infer(world, [b"a", b"bad"], world.call(timeout_s=10.0))
    assert [rpc.timeout_s for rpc in world.rpcs] == pytest.approx([10.0, 7.0])
    hints = [rpc.request.parameters["timeout"].int64_param for rpc in world.rpcs]
    assert hints == pytest.approx([10_000_000, 7_000_000])


def test_nothing_is_sent_after_the_deadline() -> None:
    world = World(upper, request_s=6.0)
    with pytest.raises(errors.DeadlineExceeded, match="no answer within 5 s") as caught:
        infer(world, [b"a", b"bad"], world.call(timeout_s=5.0))
    assert (len(world.rpcs), caught.value.attempts) == (1, 1)


@pytest.mark.parametrize("top_k", [None, 1, 5])
def test_request(top_k: int | None) -> None:
    world = World(upper)
    infer(world, [b"a", b"bc"], top_k=top_k)
    request = world.rpcs[0].request
    (tensor,), (output,) = request.inputs, request.outputs
    assert (world.rpcs[0].method, request.model_name) == ("ModelInfer", "EfficientNetB0")
    assert (tensor.name, tensor.datatype, list(tensor.shape)) == ("image", "BYTES", [2, 1])
    elements = [bytes([len(file), 0, 0, 0]) + file for file in (image("a"), image("bc"))]
    assert list(request.raw_input_contents) == [b"".join(elements)]
    assert re.fullmatch("[0-9a-f]{16}", request.id)
    assert output.name == "probabilities"
    assert output.parameters["classification"].int64_param == (top_k or 0)


def test_places_in_messages_are_those_of_the_whole_sequence() -> None:
    batch = _core.prepare(ROUTE, [image("a"), image("b"), "none.jpg"], first=8)
    assert [batch.source(index) for index in range(3)] == ["image 8", "image 9", "none.jpg"]
    assert (batch.payloads, list(batch.unreadable)) == ({0: image("a"), 1: image("b")}, [2])


def configs(**parameters: str) -> Callable[[Rpc], Any]:
    """A server with one ensemble whose preprocessing has these parameters."""
    step = model_config_pb2.ModelEnsembling.Step
    ensemble = model_config_pb2.ModelConfig(
        max_batch_size=32,
        output=[model_config_pb2.ModelOutput(dims=[1000])],
        ensemble_scheduling=model_config_pb2.ModelEnsembling(step=[step(model_name="first"), step(model_name="net")]),
    )
    values = {key: model_config_pb2.ModelParameter(string_value=value) for key, value in parameters.items()}
    known = {"EfficientNetB0": ensemble, "first": model_config_pb2.ModelConfig(parameters=values)}
    alone = model_config_pb2.ModelConfig(output=[model_config_pb2.ModelOutput(dims=[7])])
    return lambda rpc: service_pb2.ModelConfigResponse(config=known.get(rpc.request.name, alone))


GOOD = {"resize_short": "256", "crop": "224", "interpolation": "linear"}


def test_facts_of_an_ensemble() -> None:
    world = World(configs(**GOOD))
    facts = world.drive(_route.model_facts(world.call()))
    assert facts == _route.ModelFacts(32, 1000, "net", Preprocessing(256, 224, "linear"))
    assert [rpc.request.name for rpc in world.rpcs] == ["EfficientNetB0", "first"]
    crop = np.zeros((224, 224, 3), np.uint8)
    for way, quick in [(_route.client_side, False), (_route.ready_made, True)]:
        route = way(world.call(), facts)
        assert (route.target, route.quick(crop)) == ("net", quick)


def test_a_model_alone_cannot_be_preprocessed_for() -> None:
    world = World(configs())
    facts = world.drive(_route.model_facts(world.call("net")))
    assert (facts.classes, facts.network, facts.preprocessing) == (7, None, None)
    for way, named in [(_route.client_side, "client"), (_route.ready_made, "none")]:
        why = f"net at host:8001: it isn't an ensemble .* preprocess='{named}' needs; use preprocess='server'"
        with pytest.raises(errors.InvalidRequest, match=why):
            way(world.call("net"), facts)


@pytest.mark.parametrize("change", [{"crop": "a"}, {"crop": "300"}, {"interpolation": "area"}, {"resize_short": ""}])
def test_unusable_preprocessing_parameters(change: dict[str, str]) -> None:
    world = World(configs(**GOOD | change))
    with pytest.raises(errors.ServerError, match="first has no usable preprocessing parameters"):
        world.drive(_route.model_facts(world.call()))


NOT_YET = [UNAVAILABLE, RpcFault("DEADLINE_EXCEEDED", ""), RpcFault("NOT_FOUND", "has no available versions"), False]


def ready(value: Any) -> Any:
    return value if isinstance(value, RpcFault) else service_pb2.ServerReadyResponse(ready=value)


@pytest.mark.parametrize("models", [[], ["EfficientNetB0"], ["EfficientNetB0", "EfficientNetB1"]], ids=len)
def test_wait_ready_asks_until_everything_is(models: list[str]) -> None:
    answers = iter([*NOT_YET, True] * (1 + len(models)))
    world = World(lambda rpc: ready(next(answers)))
    world.drive(_core.wait_ready(world.call(None), models))
    asked = [rpc.request.name if rpc.method == "ModelReady" else rpc.method for rpc in world.rpcs]
    assert asked == [what for what in ["ServerReady", *models] for _ in range(5)]
    assert len(world.pauses) == 4 * (1 + len(models))
    assert all(0 < pause <= 0.5 for pause in world.pauses)


@pytest.mark.parametrize(("ready_ones", "named"), [([], "the server"), (["ServerReady"], "EfficientNetB1")])
@pytest.mark.parametrize("request_s", [0.0, 0.7, 5.0])
def test_wait_ready_gives_up_in_time(ready_ones: list[str], named: str, request_s: float) -> None:
    world = World(lambda rpc: ready(rpc.method in ready_ones), request_s=request_s)
    with pytest.raises(errors.DeadlineExceeded, match=re.escape(f"{URL}: {named} isn't ready after 2 s")):
        world.drive(_core.wait_ready(world.call(None, timeout_s=2.0), ["EfficientNetB1"]))
    assert world.now <= 1002.0 + 2 * request_s


@pytest.mark.parametrize("fault", [RpcFault("UNAUTHENTICATED", "no"), RpcFault("INTERNAL", "broken")], ids=str)
def test_wait_ready_does_not_wait_for_what_never_comes(fault: RpcFault) -> None:
    world = World(lambda rpc: fault)
    with pytest.raises((errors.AccessDenied, errors.ServerError)):
        world.drive(_core.wait_ready(world.call(None), []))
    assert len(world.rpcs) == 1


def test_only() -> None:
    first, second = (errors.ImageRejected(text) for text in ("first", "second"))
    assert _core.only([1, 2]) == [1, 2]
    with pytest.raises(errors.ImageRejected, match="first"):
        _core.only([1, first, second])
