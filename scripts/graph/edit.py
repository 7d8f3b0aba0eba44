"""What the passes share: who makes and uses each value of an ONNX graph, and editing it in place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper


class Wiring:
    """The nodes and initializers of a graph by the values they make and use, as they were when it was built."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.initializers: dict[str, onnx.TensorProto] = {tensor.name: tensor for tensor in graph.initializer}
        self._makers: dict[str, onnx.NodeProto] = {}
        self._users: dict[str, list[onnx.NodeProto]] = {}
        self._outputs = {output.name for output in graph.output}
        for node in graph.node:
            self._makers.update(dict.fromkeys(node.output, node))
            for name in node.input:
                self._users.setdefault(name, []).append(node)

    def maker(self, name: str) -> onnx.NodeProto | None:
        """The node that makes the value; None for the graph's inputs and initializers."""
        return self._makers.get(name)

    def uses(self, name: str) -> int:
        """How often nodes use the value."""
        return len(self._users.get(name, []))

    def only_user(self, name: str) -> onnx.NodeProto | None:
        """The one node that uses the value; None if there are others, or if it is an output of the graph."""
        users = self._users.get(name, [])
        return users[0] if len(users) == 1 and name not in self._outputs else None

    def constant(self, name: str) -> NDArray[Any] | None:
        """The elements of an initializer; None if the name isn't one's."""
        tensor = self.initializers.get(name)
        return None if tensor is None else elements(tensor)


def elements(tensor: onnx.TensorProto) -> NDArray[Any]:
    """A tensor's elements, read from disk if it is only a reference."""
    if tensor.data_location != onnx.TensorProto.EXTERNAL:
        array: NDArray[Any] = numpy_helper.to_array(tensor)
        return array
    dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    return np.frombuffer(_referenced(tensor), dtype).reshape(tensor.dims)


def refer(tensor: onnx.TensorProto, file: Path, offset: int, nbytes: int) -> None:
    """Leaves the tensor's elements on disk: `nbytes` bytes from byte `offset` of `file`."""
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", file), ("offset", offset), ("length", nbytes)):
        tensor.external_data.add(key=key, value=str(value))


class Store:
    """A scratch file for the elements of tensors that passes make: a large network's don't fit into memory twice."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def keep(self, name: str, array: NDArray[Any]) -> onnx.TensorProto:
        """An initializer with these elements, which are in the file and not in memory."""
        tensor = onnx.TensorProto(name=name, data_type=helper.np_dtype_to_tensor_dtype(array.dtype), dims=array.shape)
        with self._path.open("ab") as file:
            refer(tensor, self._path, file.tell(), array.nbytes)
            file.write(array.tobytes())
        return tensor


def _referenced(tensor: onnx.TensorProto) -> bytes:
    place = {entry.key: entry.value for entry in tensor.external_data}
    with Path(place["location"]).open("rb") as file:
        file.seek(int(place["offset"]))
        return file.read(int(place["length"]))


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """A node's attributes by name, as Python values."""
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def set_attribute(node: onnx.NodeProto, name: str, value: object) -> None:
    """Sets an attribute of the node, in place of one of that name if there is one."""
    remove(node.attribute, lambda attribute: attribute.name == name)
    node.attribute.append(helper.make_attribute(name, value))


def remove(items: Any, doomed: Callable[[Any], bool]) -> int:
    """Removes the doomed items of a repeated field, and returns how many they were."""
    positions = [position for position, item in enumerate(items) if doomed(item)]
    for position in reversed(positions):
        del items[position]
    return len(positions)


def remove_nodes(graph: onnx.GraphProto, doomed: list[onnx.NodeProto]) -> int:
    """Removes these nodes, known by their first outputs, and returns how many they were."""
    outputs = {node.output[0] for node in doomed}
    return remove(graph.node, lambda node: node.output[0] in outputs)


def remove_unused_initializers(graph: onnx.GraphProto) -> int:
    """Removes the initializers that no node uses, and returns how many they were."""
    used = {name for node in graph.node for name in node.input}
    return remove(graph.initializer, lambda tensor: tensor.name not in used)


def rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    """Gives a value another name wherever nodes make or use it. The graph's own inputs and outputs stay."""
    for node in graph.node:
        for names in (node.input, node.output):
            for position, name in enumerate(names):
                if name == old:
                    names[position] = new
