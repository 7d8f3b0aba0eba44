"""The load test's pictures as pixels: what a client that preprocesses by itself sends."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from loadtest.errors import LoadTestError
from loadtest.pictures import MOST_BYTES, Pictures, Tick
from loadtest.subjects import parts_of
from tritonclas import ModelServer
from tritonclas.preprocess import BadImage, Preprocessing

Crops = tuple[NDArray[np.uint8], ...]


def crops(
    pictures: Pictures, preprocessing: Preprocessing, most_bytes: int = MOST_BYTES, tick: Tick = lambda: None
) -> Crops:
    """The pictures from the first on as `[crop, crop, 3]`, as many as `most_bytes` hold but at least one.

    A picture that is there again is the same array again. `tick` is called for each.
    LoadTestError for one that can't be decoded.
    """
    number = max(1, most_bytes // (3 * preprocessing.crop**2))
    made: dict[bytes, NDArray[np.uint8]] = {}
    for place, content in enumerate(pictures.contents[:number], start=1):
        tick()
        if content not in made:
            try:
                made[content] = preprocessing(content)
            except BadImage as error:
                reason = " ".join(str(error).split())
                raise LoadTestError(f"picture {place} of the {pictures.description} is broken: {reason}") from error
    return tuple(made[content] for content in pictures.contents[:number])


def preprocessing_of(server: ModelServer, model: str) -> Preprocessing:
    """What is done to a model's pictures before its network; LoadTestError for one that isn't such an ensemble."""
    name = parts_of(server, model).preprocessing
    if name is None:
        raise LoadTestError(f"{model} takes no pixels; leave the inputs pixels out")
    parameters = server.config(name).get("parameters", {})
    try:
        return Preprocessing.from_parameters({key: each.get("string_value", "") for key, each in parameters.items()})
    except ValueError as error:
        raise LoadTestError(f"{model} takes no pixels ({error}); leave the inputs pixels out") from error
