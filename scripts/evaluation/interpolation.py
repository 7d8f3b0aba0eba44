"""With which interpolation a served model's pictures are really scaled, seen in its answers.

What a configuration is called isn't what a server does. So a picture is sent as it is, and scaled beforehand in
each way, which leaves the server nothing to scale: it has the way whose answer is the first one's.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tritonclas.preprocess import Pixels, Preprocessing
from tritonclas.served import Interpolation, Served

WAYS: tuple[Interpolation, ...] = get_args(Interpolation)

#: Answers to the same pixels differ by rounding, which is far less than other pixels make: so many times less.
_APART = 4
#: A model whose probabilities differ by less than this between the pictures tells nothing.
_SMALLEST = 1e-5
_SIDE = 64


def probe() -> Pixels:
    """A picture that every interpolation scales otherwise: noise, the same every time, uint8 [64, 64, 3]."""
    return np.random.default_rng(0).integers(0, 256, (_SIDE, _SIDE, 3), dtype=np.uint8)


def scaled_probes(model: Served) -> list[Pixels]:
    """The probe as the model wants it scaled, in each of `WAYS`: uint8 [resize_short, resize_short, 3]."""
    short = model.resize_short
    return [Preprocessing(short, short, way).crop_pixels(probe()) for way in WAYS]


def way_seen(answers: NDArray[np.float32]) -> Interpolation | Literal["another", "unknown"]:
    """How the server scales, from its answers to the probe and to the scaled ones: float32 [1 + ways, classes]."""
    distances = np.abs(answers[1:] - answers[0]).max(axis=1)
    nearest, farthest = int(distances.argmin()), float(distances.max())
    if not farthest > _SMALLEST:
        return "unknown"
    return WAYS[nearest] if distances[nearest] * _APART < farthest else "another"
