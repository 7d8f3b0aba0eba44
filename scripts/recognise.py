"""Which row of the zoo a converted archive is, whatever it was trained on: told by its number of parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence

import onnx

from scripts.parameters import Parameter
from tritonclas import zoo

#: BatchNormalization's inputs that are statistics and no trainable parameters: mean and variance.
_STATISTICS = slice(3, 5)


def rows_like(graph: onnx.GraphProto, parameters: Sequence[Parameter], classes: int | None) -> tuple[zoo.Model, ...]:
    """The rows with as many trainable parameters below the last layer; empty if there is none, or no such layer.

    The last layer, which is another one with another number of classes, is the one matrix [features, classes].
    """
    statistics = {
        name for node in graph.node if node.op_type == "BatchNormalization" for name in node.input[_STATISTICS]
    }
    trainable = sum(math.prod(each.shape) for each in parameters if each.name not in statistics)
    widths = [each.shape[0] for each in parameters if len(each.shape) == 2 and each.shape[1] == classes]
    if classes is None or len(widths) != 1:
        return ()
    below = trainable - _last_layer(widths[0], classes)
    return tuple(row for row in zoo.MODELS.values() if row.parameters - _last_layer(widths[0], row.classes) == below)


def _last_layer(features: int, classes: int) -> int:
    return (features + 1) * classes
