"""A network that ends with scores gets the Softmax that makes them probabilities."""

from __future__ import annotations

import onnx
from onnx import helper

from scripts.errors import ExportError
from scripts.graph.edit import rename


def append_softmax(model: onnx.ModelProto) -> int:
    """Appends a Softmax over the classes unless the graph ends with one; returns how many were appended.

    ExportError for a network that ends with Sigmoid: its classes don't exclude one another.
    """
    graph = model.graph
    output = graph.output[0].name
    last = next(node for node in graph.node if output in node.output)
    if last.op_type == "Softmax":
        return 0
    if last.op_type == "Sigmoid":
        raise ExportError("the network ends with a sigmoid, it is a multi-label one; export one that ends with softmax")
    scores = f"{output}_scores"
    rename(graph, output, scores)
    graph.node.append(helper.make_node("Softmax", [scores], [output], axis=-1))
    return 1
