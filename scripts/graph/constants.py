"""Constant nodes become initializers, and Identity nodes go: exact."""

from __future__ import annotations

import onnx

from scripts.graph.edit import remove, remove_unused_initializers, rename


def inline_constants(model: onnx.ModelProto) -> int:
    """Tidies what paddle2onnx leaves; returns how many nodes went."""
    graph = model.graph
    removed = _constants_to_initializers(graph) + _drop_identities(graph)
    remove_unused_initializers(graph)
    graph.ClearField("value_info")
    return removed


def _constants_to_initializers(graph: onnx.GraphProto) -> int:
    for node in filter(_is_tensor_constant, graph.node):
        tensor = graph.initializer.add()
        tensor.CopyFrom(node.attribute[0].t)
        tensor.name = node.output[0]
    return remove(graph.node, _is_tensor_constant)


def _is_tensor_constant(node: onnx.NodeProto) -> bool:
    return bool(node.op_type == "Constant" and node.attribute[0].name == "value")


def _drop_identities(graph: onnx.GraphProto) -> int:
    outputs = {output.name for output in graph.output}
    made = {name for node in graph.node for name in node.output}
    for node in [node for node in graph.node if node.op_type == "Identity"]:
        source, copy = node.input[0], node.output[0]
        if copy not in outputs:
            rename(graph, copy, source)
        elif source not in outputs and source in made:
            rename(graph, source, copy)
    return remove(graph.node, _makes_its_own_input)


def _makes_its_own_input(node: onnx.NodeProto) -> bool:
    """True for an Identity whose two ends have become one value."""
    return bool(node.op_type == "Identity" and node.input[0] == node.output[0])
