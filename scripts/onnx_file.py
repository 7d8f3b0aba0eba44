"""Writing an ONNX model tensor by tensor: serialised whole, it would take several times its size in memory."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import onnx
from onnx import TensorProto, helper

from scripts.graph.edit import elements, refer

#: The model's file in a folder of files; Triton looks for this name.
MODEL_FILE = "model.onnx"

#: More weights than this go into a file of their own. Protobuf's limit for a message is 2 GiB; and a session that is
#: made of one message holds the weights twice for a while.
LARGEST_MESSAGE = 2**30

#: Smaller tensors, shapes and the like, always stay in the model's file.
_SMALLEST_OUTSIDE = 1024
#: onnx.proto asks for a multiple of the page size, so that the file can be mapped into memory.
_PAGE = 4096
#: Keys of fields with a length, onnx.proto: ModelProto.graph 7, GraphProto.initializer 5, TensorProto.raw_data 9.
_GRAPH, _INITIALIZER, _RAW_DATA = (bytes([number << 3 | 2]) for number in (7, 5, 9))


def write_onnx(model: onnx.ModelProto, path: Path) -> None:
    """Writes the model with all its weights to `path`, and leaves it without them.

    It is a file or, with large weights, a folder with `model.onnx` and a file of weights, which is named by its
    content: Triton's ONNX Runtime backend takes either under the same name.
    """
    tensors = list(model.graph.initializer)
    outside: list[TensorProto] = []
    if sum(map(_nbytes, tensors)) > LARGEST_MESSAGE:
        outside = [tensor for tensor in tensors if _nbytes(tensor) >= _SMALLEST_OUTSIDE]
        tensors = [tensor for tensor in tensors if _nbytes(tensor) < _SMALLEST_OUTSIDE]
        path.mkdir()
        _move_out(outside, path)
        path = path / MODEL_FILE
    del model.graph.initializer[:]
    model.graph.initializer.extend(outside)
    _write_message(model, tensors, path)


def model_file(path: Path) -> Path:
    """The model's file of what `write_onnx` has written to `path`."""
    return path / MODEL_FILE if path.is_dir() else path


def size_on_disk(path: Path) -> int:
    """Bytes of what `write_onnx` has written to `path`."""
    return sum(file.stat().st_size for file in path.iterdir()) if path.is_dir() else path.stat().st_size


def move_onnx(source: Path, target: Path) -> None:
    """Puts what `write_onnx` has written in `target`'s place on the same file system, where others may read meanwhile.

    They see the old model or the new one: the new file of weights comes first, the old one goes last.
    """
    if source.is_dir() and target.is_dir():
        _replace_folder(source, target)
        return
    if target.exists() and source.is_dir() != target.is_dir():  # a file can't replace a folder, nor the reverse
        target.rename(source.with_name(f"{source.name}.old"))
    source.replace(target)


def _replace_folder(source: Path, target: Path) -> None:
    fresh = {path.name for path in source.iterdir()}
    for name in sorted(fresh, key=MODEL_FILE.__eq__):
        (source / name).replace(target / name)
    for path in target.iterdir():
        if path.name not in fresh:
            path.unlink()


def _nbytes(tensor: TensorProto) -> int:
    dtype: np.dtype[Any] = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    return int(math.prod(tensor.dims)) * int(dtype.itemsize)


def _bare(tensor: TensorProto) -> TensorProto:
    """The tensor without its elements."""
    return TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)


def _move_out(tensors: Sequence[TensorProto], folder: Path) -> None:
    """Writes the tensors' elements to a file in `folder`, one at a time, and leaves references to it."""
    digest = hashlib.sha256()
    offsets = []
    scratch = folder / "weights"
    with scratch.open("wb") as file:
        for tensor in tensors:
            content = elements(tensor).tobytes()
            offsets.append(_to_page(file))
            file.write(content)
            digest.update(content)
    name = f"weights-{digest.hexdigest()[:16]}.data"
    scratch.rename(folder / name)
    for tensor, offset in zip(tensors, offsets, strict=True):
        tensor.CopyFrom(_bare(tensor))
        refer(tensor, Path(name), offset, _nbytes(tensor))


def _to_page(file: BinaryIO) -> int:
    """Fills the file up to where a page begins, and returns where."""
    file.write(bytes(-file.tell() % _PAGE))
    return file.tell()


def _write_message(model: onnx.ModelProto, tensors: Sequence[TensorProto], path: Path) -> None:
    """Writes the model with these initializers besides its own, whose elements are read one tensor at a time."""
    graph = model.graph.SerializeToString()
    model.ClearField("graph")
    heads = [_tensor_head(tensor) for tensor in tensors]
    nbytes = len(graph) + sum(len(head) + _nbytes(tensor) for head, tensor in zip(heads, tensors, strict=True))
    with path.open("wb") as file:
        file.write(model.SerializeToString() + _field_head(_GRAPH, nbytes) + graph)
        for head, tensor in zip(heads, tensors, strict=True):
            file.write(head)
            file.write(elements(tensor).tobytes())


def _tensor_head(tensor: TensorProto) -> bytes:
    """An initializer up to its elements."""
    bare: bytes = _bare(tensor).SerializeToString() + _field_head(_RAW_DATA, _nbytes(tensor))
    return _field_head(_INITIALIZER, len(bare) + _nbytes(tensor)) + bare


def _field_head(key: bytes, nbytes: int) -> bytes:
    """Key and length of a field (protobuf.dev, "Encoding": seven bits a byte, the lowest first)."""
    length = bytearray()
    while nbytes >= 0x80:
        length.append(nbytes & 0x7F | 0x80)
        nbytes >>= 7
    return key + bytes([*length, nbytes])
