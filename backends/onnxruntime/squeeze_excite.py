"""Squeeze-and-excitation without leaving ONNX Runtime's layout for convolutions: EfficientNets take a seventh less.

ONNX Runtime lays pixels out in blocks of channels (NCHWc) for its convolutions, but multiplies in that layout only what
has equal shapes. Where each channel has a factor of its own, as in squeeze-and-excitation, its graph turns both back,
multiplies, and lays the product out again. Here the factors become weights, which that layout does have: of a depthwise
1x1 convolution, which does the same multiplications; or of the 1x1 convolution that follows, whose weights are
multiplied in the pixels' stead where they are much fewer. A convolution has the same weights for a whole batch, so that
such a graph takes one image at a time; it fails with more, in a Reshape.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper
from trial import answers, random_image, shapes

_BLOCKED = "com.microsoft.nchwc"
#: A weight's multiplication takes as long as so many pixels', which come in longer runs.
_WEIGHT_COST = 4
#: Of the largest number in a tensor: other factors on the way to it move it by far more, rounding by less.
_TOLERANCE = 1e-4

Array = np.ndarray[Any, Any]


class _Product(NamedTuple):
    """Blocked pixels times blocked factors; the node that lays their product out again; the nodes that use it."""

    pixels: str
    factors: str
    reorder: NodeProto
    users: Sequence[NodeProto]


def rewrite(path: Path) -> None:
    """Write this optimised graph anew, where that is faster; RuntimeError if it would answer differently."""
    model = onnx.load(path, load_external_data=False)
    products, image = list(_products(model.graph)), random_image(model.graph)
    if not products or image is None or _has_subgraphs(model.graph):
        return
    blocked = [name for product in products for name in (product.pixels, product.factors)]
    sizes = shapes(model, path, image, blocked)
    products = [product for product in products if sizes[product.factors] == (1, sizes[product.pixels][1], 1, 1)]
    rewritten = _rewritten(model, products, sizes, _block(path))
    ends = {user.output[0] for product in products for user in product.users}
    before, after = (answers(each, path, image, ends) for each in (model, rewritten))
    if not all(_same(after[name], before[name]) for name in before):
        raise RuntimeError("rewritten, it would answer differently")
    whole = path.with_name(f"rewritten-{path.name}")
    onnx.save(rewritten, whole)
    whole.replace(path)


def _same(one: Array, other: Array) -> bool:
    """All but equal, and not for want of numbers: zeros are what any factor makes of zeros."""
    largest = abs(other).max()
    return bool(largest > 0 and np.allclose(one, other, rtol=0, atol=_TOLERANCE * largest))


def _block(beside: Path) -> int:
    """Channels in a block on this processor: what ONNX Runtime fills four up to."""
    graph = helper.make_graph(
        [helper.make_node("ReorderInput", ["x"], ["blocked"], domain=_BLOCKED)],
        "block",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 1, 1])],
        [helper.make_tensor_value_info("blocked", TensorProto.FLOAT, None)],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(_BLOCKED, 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    channels = shapes(model, beside, {"x": np.zeros((1, 4, 1, 1), np.float32)}, ["blocked"])["blocked"][1]
    return int(channels)


def _has_subgraphs(graph: GraphProto) -> bool:
    """Whether a node has a graph of its own, whose use of names isn't looked into here."""
    return any(each.HasField("g") or each.graphs for node in graph.node for each in node.attribute)


def _products(graph: GraphProto) -> Iterator[_Product]:
    """Each product twice, since either source may be the factors."""
    made_by = {name: node for node in graph.node for name in node.output}
    used_by = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            used_by[name].append(node)
    results = {result.name for result in graph.output}
    for node in graph.node:
        sources = [made_by.get(name) for name in node.input]
        if (node.domain, node.op_type) != ("", "Mul") or not all(_is(source, "ReorderOutput") for source in sources):
            continue
        one, other = (source for source in sources if source)
        users = used_by[node.output[0]]
        if len(users) != 1 or not _is(users[0], "ReorderInput") or node.output[0] in results:
            continue
        if _attribute(one, "channels") == _attribute(other, "channels"):
            for pixels, factors in ((one, other), (other, one)):
                yield _Product(pixels.input[0], factors.input[0], users[0], used_by[users[0].output[0]])


def _is(node: NodeProto | None, operator: str) -> bool:
    """Whether it is this operator of the blocked layout, from or to channels first."""
    return (
        node is not None
        and (node.domain, node.op_type) == (_BLOCKED, operator)
        and not _attribute(node, "channels_last")
    )


def _attribute(node: NodeProto, name: str) -> Any:
    return next((helper.get_attribute_value(each) for each in node.attribute if each.name == name), None)


def _rewritten(model: ModelProto, products: Sequence[_Product], sizes: Mapping[str, Any], block: int) -> ModelProto:
    made = ModelProto()
    made.CopyFrom(model)
    graph = made.graph
    by_end = {product.reorder.output[0]: product for product in products}
    uses = Counter(name for node in graph.node for name in node.input)
    weights = {tensor.name: tensor for tensor in model.graph.initializer if uses[tensor.name] == 1}
    nodes = []
    renamed: dict[str, str] = {}
    for node in graph.node:
        product = by_end.get(node.output[0])
        if product is None:
            node.input[:] = [renamed.get(name, name) for name in node.input]
            nodes.append(node)
            continue
        _, channels, height, width = sizes[product.pixels]
        kernel = _kernel(product, weights, block)
        if kernel and _WEIGHT_COST * kernel.dims[0] < height * width:
            renamed[product.reorder.output[0]], renamed[kernel.name] = product.pixels, f"{kernel.name}.scaled"
            nodes += _scaled(kernel, product.factors, block, graph)
        else:
            nodes += _depthwise(product, channels, graph)
    _replace(graph.node, _in_use(nodes, [result.name for result in graph.output]))
    used = {name for node in graph.node for name in node.input}.union(
        each.name for each in (*graph.input, *graph.output)
    )
    _replace(graph.initializer, [tensor for tensor in graph.initializer if tensor.name in used])
    return made


def _kernel(product: _Product, weights: Mapping[str, TensorProto], block: int) -> TensorProto | None:
    """The weights of the 1x1 convolution that is a product's only user; None if it isn't one."""
    user, *others = product.users
    if others or not _is(user, "Conv") or user.input[0] != product.reorder.output[0] or _attribute(user, "group") != 1:
        return None
    kernel = weights.get(user.input[1])
    if kernel is None or kernel.dims[2:] != [1, 1] or kernel.dims[0] % block or kernel.dims[1] % block:
        return None
    return kernel


def _scaled(kernel: TensorProto, factors: str, block: int, graph: GraphProto) -> list[NodeProto]:
    """Weights, blocked by channels out and in, times the factors of the channels in."""
    outputs, inputs = kernel.dims[:2]
    blocked = graph.initializer.add()
    blocked.CopyFrom(kernel)  # their place in the file; not the weights themselves
    blocked.name = f"{kernel.name}.blocked"
    blocked.dims[:] = [outputs // block, inputs // block, block, block]
    by_channel = _reshaped(factors, [1, inputs // block, block, 1], f"{kernel.name}.factors", graph)
    product = helper.make_node("Mul", [blocked.name, by_channel.output[0]], [f"{blocked.name}.scaled"])
    flat = _reshaped(product.output[0], [outputs, inputs, 1, 1], f"{kernel.name}.scaled", graph)
    return [by_channel, product, flat]


def _depthwise(product: _Product, channels: int, graph: GraphProto) -> list[NodeProto]:
    """Factors as the weights of a convolution: blocks of both lie alike."""
    weights = _reshaped(product.factors, [channels, 1, 1, 1], f"{product.reorder.output[0]}.factors", graph)
    inputs = [product.pixels, weights.output[0]]
    convolution = helper.make_node(
        "Conv", inputs, product.reorder.output, domain=_BLOCKED, group=channels, kernel_shape=[1, 1]
    )
    return [weights, convolution]


def _reshaped(name: str, shape: Sequence[int], result: str, graph: GraphProto) -> NodeProto:
    sizes = numpy_helper.from_array(np.array(shape, np.int64), f"{result}.shape")
    graph.initializer.append(sizes)
    return helper.make_node("Reshape", [name, sizes.name], [result])


def _in_use(nodes: Sequence[NodeProto], results: Sequence[str]) -> list[NodeProto]:
    needed, kept = set(results), []
    for node in reversed(nodes):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    return kept[::-1]


def _replace(repeated: Any, values: Sequence[Any]) -> None:
    del repeated[:]
    repeated.extend(values)
