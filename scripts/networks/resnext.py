"""ResNeXt101_wsl in Paddle layers: Paddle's own ResNet with groups, as PaddleClas's is."""

from __future__ import annotations

from scripts.quiet_paddle import paddle
from tritonclas import zoo


def resnext(spec: zoo.ResNeXt, *, classes: int) -> paddle.nn.Layer:
    """A ResNeXt (Xie et al. 2017, arXiv 1611.05431): float32 [N, 3, H, W] -> logits, float32 [N, classes]."""
    resnet = paddle.vision.models.resnet
    return resnet.ResNet(
        resnet.BottleneckBlock,
        spec.depth,
        width=spec.group_width,
        num_classes=classes,
        groups=spec.cardinality,
    )
