"""The zoo's architectures as Paddle layers, for archives that PaddleClas's own code doesn't write."""

from __future__ import annotations

from scripts.networks.efficientnet import EfficientNet
from scripts.networks.resnext import resnext
from scripts.quiet_paddle import paddle
from tritonclas import zoo

__all__ = ["build", "build_logits"]


def build(model: zoo.Model) -> paddle.nn.Layer:
    """The row's classifier: normalised float32 [N, 3, crop, crop] -> float32 [N, classes], rows summing to 1."""
    return with_softmax(build_logits(model))


def with_softmax(network: paddle.nn.Layer) -> paddle.nn.Layer:
    """`network`, answering probabilities in place of logits."""
    return paddle.nn.Sequential(network, paddle.nn.Softmax())


def build_logits(model: zoo.Model) -> paddle.nn.Layer:
    """The row's classifier up to its last linear layer: float32 [N, classes], any real numbers."""
    if isinstance(model.network, zoo.EfficientNet):
        return EfficientNet(model.network, crop=model.crop, classes=model.classes)
    return resnext(model.network, classes=model.classes)
