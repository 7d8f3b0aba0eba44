"""PaddleClas's SAME padding, a convolution padded too much and then cropped, becomes one padded unequally: exact."""

from __future__ import annotations

import onnx

from scripts.graph.edit import Wiring, attributes, remove_nodes, remove_unused_initializers, set_attribute

#: The spatial axes of a picture, NCHW.
_SPATIAL = (2, 3)
#: Paddle writes a slice's open end as 10^7 or as a number near 2^31 or 2^63; no picture is so large.
_OPEN_END = 10_000_000


def merge_same_padding(model: onnx.ModelProto) -> int:
    """Turns Conv, Slice[1:, 1:] into a Conv that doesn't compute what is cut off; returns how many there were.

    Dropping the first n rows of a convolution of stride s is padding n x s rows fewer at the top.
    """
    graph = model.graph
    wiring = Wiring(graph)
    merged = [node for node in graph.node if node.op_type == "Slice" and _merge(node, wiring)]
    remove_nodes(graph, merged)
    remove_unused_initializers(graph)
    return len(merged)


def _merge(crop: onnx.NodeProto, wiring: Wiring) -> bool:
    """Lets the convolution before the crop make what the crop makes, if that can be; True if so."""
    convolution = wiring.maker(crop.input[0])
    cut = _leading_cut(crop, wiring)
    if convolution is None or convolution.op_type != "Conv" or wiring.only_user(crop.input[0]) is None or cut is None:
        return False
    pads = _pads_without(cut, convolution)
    if pads is None:
        return False
    set_attribute(convolution, "pads", pads)
    convolution.output[0], crop.output[0] = crop.output[0], crop.input[0]
    return True


def _leading_cut(crop: onnx.NodeProto, wiring: Wiring) -> tuple[int, int] | None:
    """How many rows and columns the Slice drops at the top and left; None if it does anything else."""
    constants = [wiring.constant(name) for name in crop.input[1:]]
    if len(constants) < 3 or any(constant is None for constant in constants):
        return None
    starts, ends, axes, *steps = [constant.tolist() for constant in constants if constant is not None]
    if (
        not set(axes) <= set(_SPATIAL)
        or min(starts) < 0
        or min(ends) < _OPEN_END
        or steps not in ([], [[1] * len(axes)])
    ):
        return None
    cut = dict(zip(axes, starts, strict=True))
    return cut.get(2, 0), cut.get(3, 0)


def _pads_without(cut: tuple[int, int], convolution: onnx.NodeProto) -> list[int] | None:
    """The convolution's padding (top, left, bottom, right) less what is cut off; None if that is below zero."""
    settings = attributes(convolution)
    pads, strides = settings.get("pads"), settings.get("strides", [1, 1])
    if settings.get("auto_pad", b"NOTSET") != b"NOTSET" or pads is None or len(pads) != 4:
        return None
    top, left = (pad - rows * stride for pad, rows, stride in zip(pads[:2], cut, strides, strict=True))
    return [top, left, *pads[2:]] if min(top, left) >= 0 else None
