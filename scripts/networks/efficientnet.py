"""EfficientNet in Paddle layers, padded the way PaddleClas pads it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scripts.quiet_paddle import paddle
from tritonclas import zoo

nn = paddle.nn

#: TensorFlow's EfficientNet and PaddleClas's use this in place of Paddle's 1e-5.
NORM_EPSILON = 1e-3
STEM_FILTERS = 32
HEAD_FILTERS = 1280


@dataclass(frozen=True)
class Stage:
    """A run of equal blocks; only the first has the stride. `filters` and `repeats` are those of width and depth 1."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    filters: int


#: Tan & Le 2019 (arXiv 1905.11946), table 1.
STAGES = (
    Stage(repeats=1, kernel=3, stride=1, expansion=1, filters=16),
    Stage(repeats=2, kernel=3, stride=2, expansion=6, filters=24),
    Stage(repeats=2, kernel=5, stride=2, expansion=6, filters=40),
    Stage(repeats=3, kernel=3, stride=2, expansion=6, filters=80),
    Stage(repeats=3, kernel=5, stride=1, expansion=6, filters=112),
    Stage(repeats=4, kernel=5, stride=2, expansion=6, filters=192),
    Stage(repeats=1, kernel=3, stride=1, expansion=6, filters=320),
)


def round_filters(filters: int, width: float) -> int:
    """`filters` times `width` as the nearest multiple of 8 that isn't more than a tenth smaller."""
    scaled = filters * width
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * scaled else rounded + 8


def same_padding(size: int, stride: int, kernel: int) -> tuple[int, int]:
    """TensorFlow's SAME padding of one axis of `size` pixels: before and after."""
    total = max(kernel - (size % stride or stride), 0)
    return total // 2, total - total // 2


class Layer(paddle.nn.Layer):  # type: ignore[misc]  # Paddle publishes no types
    """Paddle's layer, under a name that the type checker knows."""


class Convolution(Layer):
    """A convolution whose output has ceil(size / stride) pixels a side.

    Paddle's convolution pads both sides alike in the official archives, too: where SAME asks for one pixel more
    after than before, PaddleClas pads a whole stride too much and then drops the first row and column.
    """

    def __init__(
        self,
        channels: int,
        filters: int,
        kernel: int,
        *,
        size: int,
        stride: int = 1,
        groups: int = 1,
        symmetric: bool = False,
    ) -> None:
        super().__init__()
        before, after = same_padding(size, stride, kernel)
        self.drops_first = before != after and not symmetric
        padding = before + stride if self.drops_first else after
        self.conv = nn.Conv2D(channels, filters, kernel, stride, padding, groups=groups, bias_attr=False)
        self.norm = nn.BatchNorm2D(filters, epsilon=NORM_EPSILON)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = self.conv(x)
        if self.drops_first:
            x = x[:, :, 1:, 1:]
        return self.norm(x)


class SqueezeExcitation(Layer):
    """Scales each channel by what all the picture's channels say (Hu et al. 2017, arXiv 1709.01507)."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2D(1)
        self.reduce = nn.Conv2D(channels, squeezed, 1)
        self.activation = nn.Swish()
        self.expand = nn.Conv2D(squeezed, channels, 1)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        scale = self.expand(self.activation(self.reduce(self.pool(x))))
        return x * nn.functional.sigmoid(scale)


class Block(Layer):
    """An inverted residual block: expand, convolve each channel, squeeze and excite, project."""

    def __init__(self, spec: zoo.EfficientNet, stage: Stage, *, channels: int, stride: int, size: int) -> None:
        super().__init__()
        wide = channels * stage.expansion
        filters = round_filters(stage.filters, spec.width)
        self.adds_input = stride == 1 and channels == filters
        self.expand = Convolution(channels, wide, 1, size=size) if stage.expansion > 1 else None
        self.depthwise = Convolution(
            wide, wide, stage.kernel, size=size, stride=stride, groups=wide, symmetric=spec.padding == "DYNAMIC"
        )
        # A quarter of the block's input, not of the expanded channels.
        self.excite = SqueezeExcitation(wide, max(1, channels // 4)) if spec.squeeze_excitation else None
        self.project = Convolution(wide, filters, 1, size=size)
        self.activation = activation(spec)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        wide = x if self.expand is None else self.activation(self.expand(x))
        wide = self.activation(self.depthwise(wide))
        if self.excite is not None:
            wide = self.excite(wide)
        projected = self.project(wide)
        return projected + x if self.adds_input else projected


class EfficientNet(Layer):
    """Float32 [N, 3, crop, crop] -> logits, float32 [N, classes]. Its padding is that of `crop` pixels alone."""

    def __init__(self, spec: zoo.EfficientNet, *, crop: int, classes: int) -> None:
        super().__init__()
        filters = STEM_FILTERS if spec.fixed_ends else round_filters(STEM_FILTERS, spec.width)
        self.stem = Convolution(3, filters, 3, size=crop, stride=2, symmetric=spec.padding == "DYNAMIC")
        self.blocks = nn.LayerList(blocks(spec, channels=filters, size=math.ceil(crop / 2)))
        head_filters = HEAD_FILTERS if spec.fixed_ends else round_filters(HEAD_FILTERS, spec.width)
        self.head = Convolution(round_filters(STAGES[-1].filters, spec.width), head_filters, 1, size=1)
        self.activation = activation(spec)
        self.pool = nn.AdaptiveAvgPool2D(1)
        self.fc = nn.Linear(head_filters, classes)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = self.activation(self.stem(x))
        for block in self.blocks:
            x = block(x)
        pooled = self.pool(self.activation(self.head(x)))
        return self.fc(paddle.squeeze(pooled, axis=[2, 3]))


def blocks(spec: zoo.EfficientNet, *, channels: int, size: int) -> list[Block]:
    """All stages' blocks, for a stem that leaves `channels` channels of `size` pixels a side."""
    made = []
    for stage in STAGES:
        for index in range(repeats(stage, spec)):
            stride = stage.stride if index == 0 else 1
            made.append(Block(spec, stage, channels=channels, stride=stride, size=size))
            channels = round_filters(stage.filters, spec.width)
            size = math.ceil(size / stride)
    return made


def repeats(stage: Stage, spec: zoo.EfficientNet) -> int:
    """How many blocks a stage has."""
    if spec.fixed_ends and stage in (STAGES[0], STAGES[-1]):
        return stage.repeats
    return math.ceil(stage.repeats * spec.depth)


def activation(spec: zoo.EfficientNet) -> paddle.nn.Layer:
    """The layer that stands between the convolutions."""
    return nn.ReLU6() if spec.activation == "relu6" else nn.Swish()
