"""Squeeze-and-excitation without leaving ONNX Runtime's layout for convolutions: a sixth of an EfficientNet's time.

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
import onnxruntime as ort
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

_BLOCKED = "com.microsoft.nchwc"
#: Channels in a block. It depends on the processor and isn't said; the one counts with which the answers are right.
_BLOCKS = (16, 8)
#: A weight's multiplication takes as long as so many pixels', which come in longer runs.
_WEIGHT_COST = 4
#: Of the largest number in a tensor; the same multiplications in another order move the last bits only.
_TOLERANCE = 1e-3
_NUMPY_TYPES = {TensorProto.UINT8: np.uint8, TensorProto.FLOAT: np.float32}

Arrays = Mapping[str, np.ndarray[Any, Any]]


class _Product(NamedTuple):
    """Blocked pixels times blocked factors; the node that lays their product out again; the nodes that use it."""

    pixels: str
    factors: str
    again: NodeProto
    users: Sequence[NodeProto]


def rewrite(path: Path) -> None:
    """Write this optimised graph anew, where that is faster; RuntimeError if it would answer differently."""
    model = onnx.load(path, load_external_data=False)
    products, image = list(_products(model.graph)), _random_image(model.graph)
    if not products or image is None or _has_subgraphs(model.graph):
        return
    answers = {user.output[0] for product in products for user in product.users}
    blocked = {name for product in products for name in (product.pixels, product.factors)}
    expected = _run(model, path, image, answers | blocked)
    shapes = {name: expected[name].shape for name in blocked}
    products = [product for product in products if shapes[product.factors] == (1, shapes[product.pixels][1], 1, 1)]
    for block in _BLOCKS:
        rewritten = _rewritten(model, products, shapes, block)
        found = _run(rewritten, path, image, answers)
        if all(np.allclose(found[name], expected[name], 0, _TOLERANCE * abs(expected[name]).max()) for name in found):
            onnx.save(rewritten, path)
            return
    raise RuntimeError("rewritten, it would answer differently")


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
        again = used_by[node.output[0]]
        if node.op_type != "Mul" or not all(_is(source, "ReorderOutput") for source in sources):
            continue
        if len(again) == 1 and _is(again[0], "ReorderInput") and node.output[0] not in results:
            one, other = (source.input[0] for source in sources if source)
            for pixels, factors in ((one, other), (other, one)):
                yield _Product(pixels, factors, again[0], used_by[again[0].output[0]])


def _is(node: NodeProto | None, operator: str) -> bool:
    """Whether it is this operator of the blocked layout, from or to channels first."""
    return (
        node is not None
        and (node.domain, node.op_type) == (_BLOCKED, operator)
        and not _attribute(node, "channels_last")
    )


def _attribute(node: NodeProto, name: str) -> Any:
    return next((helper.get_attribute_value(each) for each in node.attribute if each.name == name), None)


def _random_image(graph: GraphProto) -> Arrays | None:
    """For each input; None if one is of a kind that isn't known here."""
    random = np.random.default_rng(0)
    image = {}
    for each in graph.input:
        kind = _NUMPY_TYPES.get(each.type.tensor_type.elem_type)
        sizes = [size.dim_value for size in each.type.tensor_type.shape.dim]
        if kind is None or not all(sizes[1:]):
            return None
        image[each.name] = random.uniform(0, 255 if kind is np.uint8 else 1, (1, *sizes[1:])).astype(kind)
    return image


def _run(model: ModelProto, path: Path, image: Arrays, names: set[str]) -> Arrays:
    """Tensors of a run, and all outputs; weights are read beside `path`."""
    telling = ModelProto()
    telling.CopyFrom(model)
    results = [result.name for result in model.graph.output]
    inner = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names.difference(results)]
    telling.graph.output.extend(inner)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    file = path.with_name("telling.onnx")
    try:
        onnx.save(telling, file)
        session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        return dict(zip([*results, *(each.name for each in inner)], session.run(None, image), strict=True))
    finally:
        file.unlink()


def _rewritten(model: ModelProto, products: Sequence[_Product], shapes: Mapping[str, Any], block: int) -> ModelProto:
    made = ModelProto()
    made.CopyFrom(model)
    graph = made.graph
    by_end = {product.again.output[0]: product for product in products}
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
        _, channels, height, width = shapes[product.pixels]
        kernel = _kernel(product.users, weights, block)
        if kernel and _WEIGHT_COST * kernel.dims[0] < height * width:
            renamed[product.again.output[0]], renamed[kernel.name] = product.pixels, f"{kernel.name}.scaled"
            nodes += _scaled(kernel, product.factors, block, graph)
        else:
            nodes += _depthwise(product, channels, graph)
    _replace(graph.node, _in_use(nodes, [result.name for result in graph.output]))
    used = {name for node in graph.node for name in node.input}
    _replace(graph.initializer, [tensor for tensor in graph.initializer if tensor.name in used])
    return made


def _kernel(users: Sequence[NodeProto], weights: Mapping[str, TensorProto], block: int) -> TensorProto | None:
    """The weights of the 1x1 convolution that is a product's only user; None if it isn't one."""
    (user, *others) = users
    kernel = weights.get(user.input[1]) if _is(user, "Conv") and not others else None
    if kernel is None or _attribute(user, "group") != 1 or kernel.dims[2:] != [1, 1]:
        return None
    return None if kernel.dims[0] % block or kernel.dims[1] % block else kernel


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
    weights = _reshaped(product.factors, [channels, 1, 1, 1], f"{product.again.output[0]}.factors", graph)
    inputs = [product.pixels, weights.output[0]]
    convolution = helper.make_node(
        "Conv", inputs, product.again.output, domain=_BLOCKED, group=channels, kernel_shape=[1, 1]
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
    kept = list(values)
    del repeated[:]
    repeated.extend(kept)
