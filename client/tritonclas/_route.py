"""The way of images to a model, as its configuration says: whom they go to, and what is made of them before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from tritonclas import _messages, images
from tritonclas._exchange import Call, Exchange
from tritonclas._same_machine import SameMachine
from tritonclas.errors import InvalidRequest, ServerError
from tritonclas.images import ImageSource
from tritonclas.preprocess import Pixels, Preprocessing

Payload = bytes | Pixels


@dataclass(frozen=True)
class ModelFacts:
    """What a model's configuration on the server says.

    `network` is the name of the network alone and `preprocessing` what must be done for it; both are
    None for a model that isn't an ensemble of this project's kind. `network_version` is the one that the ensemble asks
    for, empty if that is the latest.
    """

    max_batch_size: int
    classes: int
    network: str | None = None
    preprocessing: Preprocessing | None = None
    network_version: str = ""


def model_facts(call: Call) -> Exchange[ModelFacts]:
    """Read the configuration of the call's model and, of an ensemble, of its preprocessing."""
    config = yield from _config(call, call.model or "")
    facts = ModelFacts(max(1, config.max_batch_size), config.output[0].dims[0])
    steps = config.ensemble_scheduling.step
    if len(steps) != 2:
        return facts
    first, network = steps
    parameters = (yield from _config(call, first.model_name)).parameters
    try:
        preprocessing = Preprocessing.from_parameters({key: each.string_value for key, each in parameters.items()})
    except ValueError as error:
        raise call.error(ServerError, f"{first.model_name} has no usable preprocessing parameters ({error})") from error
    version = str(network.model_version) if network.model_version > 0 else ""
    return ModelFacts(facts.max_batch_size, facts.classes, network.model_name, preprocessing, version)


def _config(call: Call, name: str) -> Exchange[Any]:
    return (yield from call.rpc("ModelConfig", _messages.config_of(name))).config


def _never(image: ImageSource) -> bool:
    return False


@dataclass(frozen=True)
class Route:
    """How images get to a model: the name that requests go to, what is made of an image, and of several a request.

    `quick` says of an image whether preparing it is hardly more than a look at it; `version` is the target's, empty for
    Triton's own choice.
    """

    target: str
    prepare: Callable[[ImageSource], Payload]
    tensor: Callable[[Sequence[Any]], _messages.Tensor]
    memory: SameMachine | None = None
    quick: Callable[[ImageSource], bool] = _never
    version: str = ""


def server_side(model: str, memory: SameMachine | None = None) -> Route:
    """Encoded files to the ensemble, which preprocesses them."""
    return Route(model, images.encoded, _messages.encoded_tensor, memory, images.is_sent_as_it_is)


def client_side(call: Call, facts: ModelFacts, memory: SameMachine | None = None) -> Route:
    """Crops to the network alone; InvalidRequest for a model whose configuration doesn't say how to make them."""
    network, preprocessing = _network(call, facts, "client")
    crop = partial(images.crop, preprocessing=preprocessing)
    return Route(network, crop, _messages.pixels_tensor, memory, version=facts.network_version)


def ready_made(call: Call, facts: ModelFacts, memory: SameMachine | None = None) -> Route:
    """The caller's crops to the network alone; InvalidRequest for a model whose configuration doesn't say the size."""
    network, preprocessing = _network(call, facts, "none")
    crop = partial(images.crop_as_it_is, side=preprocessing.crop)
    quick = images.is_taken_without_a_copy
    return Route(network, crop, _messages.pixels_tensor, memory, quick, facts.network_version)


def _network(call: Call, facts: ModelFacts, place: str) -> tuple[str, Preprocessing]:
    if facts.network is None or facts.preprocessing is None:
        without = f"it isn't an ensemble with preprocessing, which preprocess={place!r} needs; use preprocess='server'"
        raise call.error(InvalidRequest, without)
    return facts.network, facts.preprocessing
