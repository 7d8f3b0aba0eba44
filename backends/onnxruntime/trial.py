"""Runs of a graph on random pixels: what ONNX Runtime answers, and the sizes of what goes from node to node."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import GraphProto, ModelProto, TensorProto, helper

_NUMPY_TYPES = {TensorProto.UINT8: np.uint8, TensorProto.FLOAT: np.float32}

Arrays = Mapping[str, np.ndarray[Any, Any]]


def random_image(graph: GraphProto) -> Arrays | None:
    """One for each input; None if one isn't of pixels whose size is known."""
    random = np.random.default_rng(0)
    constants = {tensor.name for tensor in graph.initializer}
    image = {}
    for each in graph.input:
        if each.name in constants:
            continue
        kind = _NUMPY_TYPES.get(each.type.tensor_type.elem_type)
        sizes = [size.dim_value for size in each.type.tensor_type.shape.dim][1:]
        if kind is None or not all(sizes):
            return None
        image[each.name] = random.uniform(0, 255 if kind is np.uint8 else 1, (1, *sizes)).astype(kind)
    return image


def answers(model: ModelProto, beside: Path, image: Arrays, inner: Iterable[str] = ()) -> Arrays:
    """All outputs, and these inner tensors of float32; weights are read beside that file."""
    told = ModelProto()
    told.CopyFrom(model)
    results = [result.name for result in model.graph.output]
    names = sorted(set(inner) - set(results))
    told.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    return dict(zip([*results, *names], _run(told, beside, image), strict=True))


def shapes(model: ModelProto, beside: Path, image: Arrays, of: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Sizes of inner tensors as they lie in memory, which aren't kept for that."""
    told = ModelProto()
    told.CopyFrom(model)
    names = sorted(set(of))
    told.graph.node.extend(helper.make_node("Shape", [name], [f"{name}.told"]) for name in names)
    del told.graph.output[:]
    told.graph.output.extend(helper.make_tensor_value_info(f"{name}.told", TensorProto.INT64, None) for name in names)
    found = _run(told, beside, image)
    return {name: tuple(map(int, sizes)) for name, sizes in zip(names, found, strict=True)}


def _run(model: ModelProto, beside: Path, image: Arrays) -> list[np.ndarray[Any, Any]]:
    file = beside.with_name(f"trial-{beside.name}")
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    try:
        onnx.save(model, file)
        session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        return session.run(None, image)  # type: ignore[no-any-return]
    finally:
        file.unlink(missing_ok=True)
