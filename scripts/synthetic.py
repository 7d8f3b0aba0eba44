"""Seeded random weights for any row of the zoo: right in shape and cost, meaningless in what they answer."""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.archive import SYNTHETIC_VERSION
from scripts.networks import build_logits
from scripts.networks.efficientnet import Block, SqueezeExcitation
from scripts.quiet_paddle import paddle
from tritonclas import zoo

#: Pictures that the network is calibrated with: enough for steady statistics.
_PICTURES = 16
#: Their side in pixels, and what one may cost: the largest rows get smaller pictures, and take about a minute.
_SIDES = (96, 128)
_GFLOPS_A_PICTURE = 25.0
#: Their standard deviation. A little more than that of normalised photographs, so that these stay within
#: what the network was calibrated for.
_CONTRAST = 1.5
#: Standard deviation of the logits over those pictures: the best of 1000 classes then gets some 5 to 50 per cent.
_LOGIT_SPREAD = 3.0
#: How much a residual block adds to its input, and how much a squeeze-and-excitation gate depends on its picture.
#: Both at 1 let a contrast a little above the calibrated one grow from block to block, up to 10^4 times in B4.
_BRANCH_GAIN = 0.3
_GATE_GAIN = 0.1

Array = NDArray[np.float32]


def build(model: zoo.Model) -> paddle.nn.Layer:
    """The row's network up to its logits. The same name gets the same weights, and pictures different answers."""
    generator = np.random.default_rng(seed(model.name))
    # Paddle's own initialisation would take longer than ours, only to be overwritten.
    with paddle.LazyGuard():
        layer = build_logits(model)
    for parameter in layer.parameters():
        randomise(parameter, generator)
    for parameter, gain in damped(layer):
        parameter.set_value(parameter * gain)
    calibrate(layer, random_pictures(generator, picture_side(model)))
    return layer


def seed(name: str) -> int:
    """A seed that depends on nothing but the name and the version."""
    return int.from_bytes(hashlib.sha256(f"{name}/{SYNTHETIC_VERSION}".encode()).digest()[:8], "big")


def randomise(parameter: paddle.Tensor, generator: np.random.Generator) -> None:
    """He's normal initialisation (He et al. 2015, arXiv 1502.01852) of a weight; scales and biases get Paddle's own.

    Paddle's own of a weight forgets that a grouped convolution's filters see a group's channels only.
    """
    shape = tuple(parameter.shape)
    if len(shape) == 1:
        parameter.initialize()
        return
    inputs = math.prod(shape[1:]) if len(shape) == 4 else shape[0]
    values = generator.standard_normal(shape, dtype=np.float32)
    values *= math.sqrt(2 / inputs)
    parameter.set_value(values)


def damped(layer: paddle.nn.Layer) -> Iterator[tuple[paddle.Tensor, float]]:
    """The weights that decide how much a block adds or gates, and what to multiply them by."""
    for part in layer.sublayers():
        if isinstance(part, Block) and part.adds_input:
            yield part.project.norm.weight, _BRANCH_GAIN
        elif isinstance(part, paddle.vision.models.resnet.BottleneckBlock) and part.downsample is None:
            yield part.bn3.weight, _BRANCH_GAIN
        elif isinstance(part, SqueezeExcitation):
            yield part.reduce.weight, _GATE_GAIN
            yield part.expand.weight, _GATE_GAIN


def picture_side(model: zoo.Model) -> int:
    """Side in pixels of the pictures to calibrate with, a multiple of the networks' total stride of 32."""
    affordable = model.crop * math.sqrt(_GFLOPS_A_PICTURE / model.gflops)
    return max(_SIDES[0], min(int(affordable) // 32 * 32, _SIDES[1]))


def random_pictures(generator: np.random.Generator, side: int) -> Array:
    """Float32 [16, 3, side, side]: colours in squares of four sizes, from the whole picture to the pixel.

    Each picture mixes the sizes differently. Calibrated with flat squares alone a network explodes on noise,
    calibrated with noise alone it finds all photographs alike.
    """
    strengths = _CONTRAST * np.sqrt(generator.dirichlet([0.5] * 4, _PICTURES)).astype(np.float32)
    pictures = np.zeros((_PICTURES, 3, side, side), np.float32)
    for cells, strength in zip((1, 4, 16, side), strengths.T, strict=True):
        squares = generator.standard_normal((_PICTURES, 3, cells, cells), dtype=np.float32)
        pixels = math.ceil(side / cells)
        enlarged = squares.repeat(pixels, axis=2).repeat(pixels, axis=3)[:, :, :side, :side]
        pictures += strength[:, None, None, None] * enlarged
    return pictures


def calibrate(layer: paddle.nn.Layer, pictures: Array) -> None:
    """Sets the batch norms' statistics, and the last layer's scale and bias, by what `pictures` give.

    Without the first a random network answers almost a constant; without the second the mean of the last
    features, which all pictures share, decides the class.
    """
    logits = _training_pass(layer, pictures)
    scale = _LOGIT_SPREAD / float((logits - logits.mean(0)).std())
    layer.fc.weight.set_value(layer.fc.weight * scale)
    layer.fc.bias.set_value(-scale * logits.mean(0))


def _training_pass(layer: paddle.nn.Layer, pictures: Array) -> NDArray[Any]:
    """The logits in training mode, which leaves the pictures' own statistics in the batch norms."""
    for part in layer.sublayers():
        if isinstance(part, paddle.nn.BatchNorm2D):
            part._momentum = 0.0
    layer.train()
    with paddle.no_grad(), warnings.catch_warnings():
        # Paddle warns that training mode tracks the statistics, which is what it is used for here.
        warnings.filterwarnings("ignore", "When training, we now always track")
        logits = np.asarray(layer(paddle.to_tensor(pictures)).numpy())
    layer.eval()
    return logits
