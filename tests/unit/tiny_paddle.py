"""Saves tiny Paddle archives, in a process of its own: python tiny_paddle.py FOLDER."""

from __future__ import annotations

import sys
from pathlib import Path

import paddle
from paddle import nn

CROP, CLASSES = 32, 10


class SameConvolution(nn.Layer):
    """PaddleClas's SAME padding at stride 2: padded too much, cropped, then normalised."""

    def __init__(self, inputs: int, outputs: int, kernel: int, groups: int = 1) -> None:
        super().__init__()
        self.convolution = nn.Conv2D(
            inputs, outputs, kernel, stride=2, padding=kernel // 2 + 1, groups=groups, bias_attr=False
        )
        self.normalisation = nn.BatchNorm2D(outputs)
        self.normalisation._mean.set_value(paddle.randn([outputs]) / 4)
        self.normalisation._variance.set_value(paddle.rand([outputs]) + 0.1)

    def forward(self, pictures: paddle.Tensor) -> paddle.Tensor:
        return self.normalisation(self.convolution(pictures)[:, :, 1:, 1:])


class TinyNetwork(nn.Layer):
    def __init__(self, last: nn.Layer) -> None:
        super().__init__()
        self.stem = SameConvolution(3, 8, 3)
        self.depthwise = SameConvolution(8, 8, 5, groups=8)
        self.wide = nn.Conv2D(8, 16, 1)
        self.classes = nn.Linear(16, CLASSES)
        self.last = last

    def forward(self, pictures: paddle.Tensor) -> paddle.Tensor:
        features = nn.functional.relu(self.wide(nn.functional.swish(self.depthwise(self.stem(pictures)))))
        return self.last(self.classes(paddle.flatten(nn.functional.adaptive_avg_pool2d(features, 1), 1)))


def save(folder: Path, last: nn.Layer, batch: int | None = None) -> None:
    paddle.seed(7)
    with paddle.utils.unique_name.guard():
        network = TinyNetwork(last)
        network.eval()
        taken = paddle.static.InputSpec([batch, 3, CROP, CROP], "float32", "x")
        paddle.jit.save(network, str(folder / "inference"), input_spec=[taken])


def main(folder: Path) -> None:
    save(folder / "json", nn.Softmax())
    save(folder / "scores", nn.Identity())
    save(folder / "sigmoid", nn.Sigmoid())
    save(folder / "single", nn.Softmax(), batch=1)
    with paddle.pir_utils.DygraphOldIrGuard():
        save(folder / "legacy", nn.Softmax())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
