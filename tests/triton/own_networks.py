"""Saves archives as users have them, of networks that the zoo lacks: python own_networks.py FOLDER."""

from __future__ import annotations

import sys
from pathlib import Path

import paddle
from paddle import nn
from paddle.vision.models import mobilenet_v3_small, resnet18

#: PP-LCNet (Cui et al. 2021, arXiv 2109.15099, table 2): kernel, stride, channels, squeeze-and-excitation.
PPLCNET = (
    (3, 1, 32, False),
    (3, 2, 64, False),
    (3, 1, 64, False),
    (3, 2, 128, False),
    (3, 1, 128, False),
    (3, 2, 256, False),
    *((5, 1, 256, False),) * 5,
    (5, 2, 512, True),
    (5, 1, 512, True),
)


def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Layer:
    return nn.Sequential(
        nn.Conv2D(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias_attr=False),
        nn.BatchNorm2D(outputs),
        nn.Hardswish(),
    )


class SqueezeExcitation(nn.Layer):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2D(1),
            nn.Conv2D(channels, channels // 4, 1),
            nn.ReLU(),
            nn.Conv2D(channels // 4, channels, 1),
            nn.Hardsigmoid(),
        )

    def forward(self, features: paddle.Tensor) -> paddle.Tensor:
        return features * self.gate(features)


class PPLCNet(nn.Layer):
    """PP-LCNet at a width that is a multiple of 1/4."""

    def __init__(self, width: float, classes: int) -> None:
        super().__init__()
        channels = max(8, int(16 * width))
        layers = [convolution(3, channels, 3, 2)]
        for kernel, stride, outputs, excited in PPLCNET:
            scaled = int(outputs * width)
            layers.append(convolution(channels, channels, kernel, stride, groups=channels))
            layers += [SqueezeExcitation(channels)] if excited else []
            layers.append(convolution(channels, scaled, 1))
            channels = scaled
        head = (nn.AdaptiveAvgPool2D(1), nn.Conv2D(channels, 1280, 1, bias_attr=False), nn.Hardswish())
        self.features = nn.Sequential(*layers, *head, nn.Dropout(0.2), nn.Flatten())
        self.classifier = nn.Linear(1280, classes)

    def forward(self, pictures: paddle.Tensor) -> paddle.Tensor:
        return self.classifier(self.features(pictures))


def tell_apart(network: nn.Layer, last: nn.Linear, side: int) -> None:
    """Gives random weights the statistics of pictures, and answers that differ from picture to picture."""
    coarse = paddle.randn([8, 3, 8, 8]) + paddle.randn([8, 3, 1, 1])
    pictures = nn.functional.interpolate(coarse, [side, side]) + paddle.randn([8, 3, side, side]) / 4
    for layer in network.sublayers():
        if isinstance(layer, nn.BatchNorm2D):
            layer._momentum = 0.0
    with paddle.no_grad():
        network.train()
        network(pictures)
        network.eval()
        scores = network(pictures)
        factor = 2 / scores.std(0).mean()
        last.weight.set_value(last.weight * factor)
        last.bias.set_value((last.bias - scores.mean(0)) * factor)


def save(folder: Path, network: nn.Layer, last: nn.Linear, side: int, softmax: bool) -> None:
    tell_apart(network, last, side)
    whole = nn.Sequential(network, nn.Softmax()) if softmax else network
    whole.eval()
    taken = paddle.static.InputSpec([None, 3, side, side], "float32", "x")
    paddle.jit.save(whole, str(folder / "inference"), input_spec=[taken])


def main(folder: Path) -> None:
    paddle.seed(5)
    resnet = resnet18(num_classes=5)
    save(folder / "resnet18", resnet, resnet.fc, 224, softmax=False)
    pplcnet = PPLCNet(0.25, classes=3)
    save(folder / "pplcnet", pplcnet, pplcnet.classifier, 128, softmax=True)
    with paddle.pir_utils.DygraphOldIrGuard():
        mobilenet = mobilenet_v3_small(num_classes=17)
        save(folder / "mobilenet", mobilenet, mobilenet.classifier[-1], 192, softmax=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
