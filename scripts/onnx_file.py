"""Writing an ONNX model tensor by tensor: serialised whole, it would take several times its size in memory."""

from __future__ import annotations

from pathlib import Path

import onnx

from scripts.graph.edit import take_in

#: Keys of the two fields that hold the weights, onnx.proto: ModelProto.graph = 7, GraphProto.initializer = 5.
_GRAPH = bytes([7 << 3 | 2])
_INITIALIZER = bytes([5 << 3 | 2])


def write_model(model: onnx.ModelProto, path: Path) -> None:
    """Writes the model with all its weights as one protobuf message, and leaves it without them."""
    tensors = list(model.graph.initializer)
    del model.graph.initializer[:]
    for tensor in tensors:
        take_in(tensor)
    graph = model.graph.SerializeToString()
    model.ClearField("graph")
    size = len(graph) + sum(len(_head(_INITIALIZER, tensor.ByteSize())) + tensor.ByteSize() for tensor in tensors)
    with path.open("wb") as file:
        file.write(model.SerializeToString() + _head(_GRAPH, size) + graph)
        for tensor in tensors:
            content = tensor.SerializeToString()
            file.write(_head(_INITIALIZER, len(content)) + content)


def _head(key: bytes, size: int) -> bytes:
    """Key and length of a field (protobuf.dev, "Encoding": seven bits a byte, the lowest first)."""
    length = bytearray()
    while size >= 0x80:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    return key + bytes([*length, size])
