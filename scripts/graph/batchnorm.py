"""BatchNormalization, and other scaling and shifting by channel, goes into the weights of the convolution before it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray

from scripts.errors import ArchiveError
from scripts.graph.edit import Store, Wiring, attributes, elements, remove_nodes, remove_unused_initializers

_SUFFIX = "_folded"

Vector = NDArray[np.float64]


class Affine(NamedTuple):
    """y = scale * x + shift, channel by channel."""

    scale: Vector
    shift: Vector


def fold_batchnorm(model: onnx.ModelProto, store: Store) -> int:
    """Folds what can be folded and leaves the rest; returns how many nodes went.

    Weights are read, scaled in float64, rounded once and put into `store`, one convolution at a time.
    """
    graph = model.graph
    wiring = Wiring(graph)
    folded: list[onnx.NodeProto] = []
    for convolution in [node for node in graph.node if _foldable(node, wiring)]:
        followers, total = _affine_tail(convolution, wiring)
        if followers:
            graph.initializer.extend(_fold(convolution, total, wiring, store))
            last = followers[-1]
            convolution.output[0], last.output[0] = last.output[0], convolution.output[0]
            folded += followers
    remove_nodes(graph, folded)
    remove_unused_initializers(graph)
    return len(folded)


def _foldable(node: onnx.NodeProto, wiring: Wiring) -> bool:
    """True for a convolution of pictures whose weights are constant and used nowhere else."""
    if node.op_type != "Conv" or not all(name in wiring.initializers for name in node.input[1:]):
        return False
    weight = node.input[1]
    return len(wiring.initializers[weight].dims) == 4 and wiring.uses(weight) == 1


def _affine_tail(convolution: onnx.NodeProto, wiring: Wiring) -> tuple[list[onnx.NodeProto], Affine]:
    """The nodes right behind the convolution that only scale and shift channels, and what they do together."""
    channels = wiring.initializers[convolution.input[1]].dims[0]
    total = Affine(np.ones(channels), np.zeros(channels))
    followers: list[onnx.NodeProto] = []
    value = convolution.output[0]
    while (node := wiring.only_user(value)) is not None and (step := _affine(node, value, channels, wiring)):
        total = Affine(total.scale * step.scale, total.shift * step.scale + step.shift)
        followers.append(node)
        value = node.output[0]
    return followers, total


def _affine(node: onnx.NodeProto, value: str, channels: int, wiring: Wiring) -> Affine | None:
    """What the node does to each channel of `value`; None if that isn't scaling and shifting by constants."""
    if node.op_type == "BatchNormalization":
        return _normalisation(node, value, wiring)
    if node.op_type not in ("Mul", "Add"):
        return None
    constant = next((wiring.constant(name) for name in node.input if name != value), None)
    if constant is None or constant.shape not in ((), (1,), (channels, 1, 1), (1, channels, 1, 1)):
        return None
    vector = np.broadcast_to(constant.astype(np.float64).reshape(-1), channels)
    return Affine(vector, np.zeros(channels)) if node.op_type == "Mul" else Affine(np.ones(channels), vector)


def _normalisation(node: onnx.NodeProto, value: str, wiring: Wiring) -> Affine | None:
    settings = attributes(node)
    constants = [wiring.constant(name) for name in node.input[1:]]
    if settings.get("training_mode", 0) or node.input[0] != value or any(constant is None for constant in constants):
        return None
    gamma, beta, mean, variance = (constant.astype(np.float64) for constant in constants if constant is not None)
    if not (variance >= 0).all():
        raise ArchiveError(
            f"the parameter {node.input[4]} is no variance, it has values below 0 or NaN: the archive's parameters are "
            "damaged or in each other's places; get it again"
        )
    scale = gamma / np.sqrt(variance + settings.get("epsilon", 1e-5))
    return Affine(scale, beta - mean * scale)


def _fold(convolution: onnx.NodeProto, affine: Affine, wiring: Wiring, store: Store) -> list[onnx.TensorProto]:
    """Weights and bias of the convolution followed by the affine; makes them the convolution's."""
    weight, *biases = (elements(wiring.initializers[name]) for name in convolution.input[1:])
    bias = biases[0] if biases else np.zeros(len(weight))
    scale = affine.scale.reshape(-1, *[1] * (weight.ndim - 1))
    name = convolution.input[1]
    tensors = [
        store.keep(name + _SUFFIX, (weight * scale).astype(weight.dtype)),
        store.keep(name + "_bias" + _SUFFIX, (bias * affine.scale + affine.shift).astype(weight.dtype)),
    ]
    del convolution.input[1:]
    convolution.input.extend(tensor.name for tensor in tensors)
    return tensors
