"""Every value that the network computes gets a name that no other weights have."""

from __future__ import annotations

import onnx


def name_after(graph: onnx.GraphProto, word: str) -> int:
    """Adds `word` to the names of all values that nodes make, the graph's outputs apart; returns how many.

    ONNX Runtime's TensorRT provider finds the engines that it keeps by these names and not by the weights
    (TRTGenerateId, onnxruntime/core/providers/tensorrt): with the same names, new weights would be answered for by
    the engine of the old ones.
    """
    kept = {output.name for output in graph.output}
    renamed = {name: f"{name}_{word}" for node in graph.node for name in node.output if name and name not in kept}
    for node in graph.node:
        for names in (node.input, node.output):
            for position, name in enumerate(names):
                if name in renamed:
                    names[position] = renamed[name]
    return len(renamed)
