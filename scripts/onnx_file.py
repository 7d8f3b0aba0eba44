"""Writing an ONNX model tensor by tensor: serialised whole, it would take several times its size in memory."""

from __future__ import annotations

import errno
import hashlib
import math
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import onnx
from onnx import TensorProto, helper

from scripts.files import exchange
from scripts.graph.edit import elements, refer
from scripts.protobuf import Content, fields, mapped, message, text
from scripts.versions import MODEL_FILE, model_file

#: The model's file in a folder of files; Triton looks for this name.

#: More weights than this go into a file of their own. Protobuf's limit for a message is 2 GiB; and a session that is
#: made of one message holds the weights twice for a while.
LARGEST_MESSAGE = 2**30

#: Smaller tensors, shapes and the like, always stay in the model's file.
_SMALLEST_OUTSIDE = 1024
#: onnx.proto asks for a multiple of the page size, so that the file can be mapped into memory.
_PAGE = 4096
#: Numbers of fields, onnx.proto: ModelProto.graph, GraphProto.initializer, TensorProto.raw_data and .external_data.
_GRAPH, _INITIALIZER, _RAW_DATA, _EXTERNAL_DATA = 7, 5, 9, 13
_WEIGHTS = re.compile(r"weights-[0-9a-f]{16}\.data")


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


def size_on_disk(path: Path) -> int:
    """Bytes of what `write_onnx` has written to `path`."""
    return sum(file.stat().st_size for file in path.iterdir()) if path.is_dir() else path.stat().st_size


def move_onnx(source: Path, target: Path) -> None:
    """Puts what `write_onnx` has written in `target`'s place on the same file system, where others may read meanwhile.

    There they find the old model or the new one, on file systems where two paths can trade places; on others (NFS),
    a model that becomes a folder, or one file again, is away for a moment. `source` may be left with what was there.
    A folder of `target` that is new comes with the model in it: Triton takes an empty one for a broken version.
    """
    if not target.parent.exists():
        folder = source.with_name(target.parent.name)
        folder.mkdir()
        source.replace(folder / target.name)
        folder.rename(target.parent)
        return
    if not target.exists() or (source.is_file() and target.is_file()):
        source.replace(target)
        return
    try:  # nothing can be renamed to a folder's name, but most file systems let the two trade places
        exchange(source, target)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
        (_replace_in_place if source.is_dir() and target.is_dir() else _replace_with_a_gap)(source, target)


def _replace_in_place(source: Path, target: Path) -> None:
    """File by file: the new weights come before the model that needs them, the old ones go after it."""
    fresh = {path.name for path in source.iterdir()}
    for name in sorted(fresh, key=MODEL_FILE.__eq__):
        (source / name).replace(target / name)
    for path in target.iterdir():
        if path.name not in fresh:
            path.unlink()


def _replace_with_a_gap(source: Path, target: Path) -> None:
    old = source.with_name(f"{source.name}.old")
    target.rename(old)
    try:
        source.replace(target)
    except BaseException:
        old.rename(target)
        raise


def is_written_by_us(path: Path) -> bool:
    """Whether a folder is one that `write_onnx` has written: a model with a file of weights, and nothing else."""
    model, *weights = sorted(path.iterdir(), key=lambda file: file.name != MODEL_FILE) or [path]
    return (
        model.name == MODEL_FILE
        and len(weights) > 0
        and all(_WEIGHTS.fullmatch(file.name) for file in weights)
        and all(file.is_file() for file in (model, *weights))
    )


def incomplete(path: Path) -> str | None:
    """What is wrong with the files of a model that `write_onnx` has written to `path`, as far as sizes tell; or None.

    Copies that broke off are found so; nothing but the graph is read.
    """
    file = model_file(path)
    try:
        for name, end in _weights_outside(file).items():
            weights = file.with_name(name)
            if not weights.is_file():
                return f"{weights} is missing"
            if weights.stat().st_size < end:
                return f"{weights} is cut short"
    except OSError as error:
        return f"{file} can't be read ({error.strerror})"
    except (ValueError, LookupError):
        return f"{file} is cut short or damaged"
    return None


def _weights_outside(file: Path) -> dict[str, int]:
    """The files of weights that a model's file names, and up to which byte it needs each; ValueError if damaged."""
    needed: dict[str, int] = {}
    for tensor in _inside(_inside([mapped(file)], _GRAPH), _INITIALIZER):
        said = [dict(fields(entry)) for entry in _inside([tensor], _EXTERNAL_DATA)]
        where = {text(entry.get(1, b"")): text(entry.get(2, b"")) for entry in said}
        if where:
            end = int(where.get("offset", 0)) + int(where.get("length", 0))
            needed[where["location"]] = max(end, needed.get(where["location"], 0))
    return needed


def _inside(messages: Iterable[Content], number: int) -> Iterator[Content]:
    """The messages in the field of that number of each message."""
    return (message(value) for content in messages for found, value in fields(content) if found == number)


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
        _to_disk(file)
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
        _to_disk(file)


def _to_disk(file: BinaryIO) -> None:
    """Or a power cut after the model has been published leaves a file of the right size without content."""
    file.flush()
    os.fsync(file.fileno())


def _tensor_head(tensor: TensorProto) -> bytes:
    """An initializer up to its elements."""
    bare: bytes = _bare(tensor).SerializeToString() + _field_head(_RAW_DATA, _nbytes(tensor))
    return _field_head(_INITIALIZER, len(bare) + _nbytes(tensor)) + bare


def _field_head(number: int, nbytes: int) -> bytes:
    """Key and length of a field with a length (protobuf.dev, "Encoding": seven bits a byte, the lowest first)."""
    length = bytearray()
    while nbytes >= 0x80:
        length.append(nbytes & 0x7F | 0x80)
        nbytes >>= 7
    return bytes([number << 3 | 2, *length, nbytes])
