"""Reads the tensors of a PyTorch state dict without PyTorch, and without running what the file asks for.

The format is that of torch.save before PyTorch 1.6: five pickles one after the other (a magic number, a version,
a description of the machine, the state dict, the storages' keys), then for each key an int64 count and that many
little-endian numbers. Pickle may call any function it names, so only the three names a state dict needs exist here.
"""

from __future__ import annotations

import math
import os
import pickle
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from scripts.errors import ArchiveError

MAGIC = 0x1950A86A20F9469CFC6C
VERSION = 1001

_DTYPES = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
}
#: What Python and numpy raise when a file's bytes aren't what they should be.
_DAMAGED = (pickle.UnpicklingError, EOFError, ValueError, TypeError, LookupError, AttributeError, OverflowError)

Array = NDArray[Any]


@dataclass(frozen=True)
class StoredTensor:
    """A tensor whose numbers stand further on in the file."""

    storage: str
    dtype: np.dtype[Any]
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def read(self, storages: dict[str, Array]) -> Array:
        """A contiguous copy of its numbers; ValueError if they reach beyond the storage."""
        data = storages[self.storage]
        reach = self.offset + sum(
            (length - 1) * stride for length, stride in zip(self.shape, self.strides, strict=True)
        )
        if min((self.offset, *self.shape, *self.strides)) < 0 or max(reach, math.prod(self.shape) - 1) >= data.size:
            raise ValueError("a tensor lies outside its storage")
        byte_strides = [stride * data.itemsize for stride in self.strides]
        return np.lib.stride_tricks.as_strided(data[self.offset :], self.shape, byte_strides).copy()


class StateDictUnpickler(pickle.Unpickler):
    """Unpickles tensors in an OrderedDict; UnpicklingError on anything else."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self.dtypes: dict[str, np.dtype[Any]] = {}

    def find_class(self, module: str, name: str) -> Any:
        """The three kinds of names that a state dict holds."""
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no state dict needs")

    def persistent_load(self, pid: Any) -> tuple[str, np.dtype[Any]]:
        """A storage, as (key, number format)."""
        kind, dtype, key = pid[:3]
        if kind != "storage" or not isinstance(dtype, np.dtype):
            raise pickle.UnpicklingError(f"it refers to a {kind!r}, which no state dict needs")
        self.dtypes[str(key)] = dtype
        return str(key), dtype


def read_state_dict(path: Path) -> dict[str, Array]:
    """The file's tensors by name; ArchiveError if it isn't a plain state dict."""
    try:
        with path.open("rb") as file:
            return _read(file)
    except OSError as error:
        raise ArchiveError(f"couldn't read {path}: {error.strerror}; check that it's there and readable") from error
    except _DAMAGED as error:
        raise ArchiveError(f"{path} isn't a plain PyTorch state dict: {error}; get the file again") from error


def _read(file: BinaryIO) -> dict[str, Array]:
    if (_load(file), _load(file)) != (MAGIC, VERSION):
        raise ValueError("it doesn't begin as torch.save's files before PyTorch 1.6 do")
    _load(file)
    unpickler = StateDictUnpickler(file)
    tensors = unpickler.load()
    storages = dict(_storages(file, unpickler.dtypes))
    return {str(name): tensor.read(storages) for name, tensor in tensors.items()}


def _load(file: BinaryIO) -> Any:
    return StateDictUnpickler(file).load()


def _storages(file: BinaryIO, dtypes: dict[str, np.dtype[Any]]) -> Iterator[tuple[str, Array]]:
    size = os.fstat(file.fileno()).st_size
    for key in map(str, _load(file)):
        count = int.from_bytes(file.read(8), "little")
        if count * dtypes[key].itemsize > size - file.tell():
            raise EOFError("it is cut short")
        yield key, np.frombuffer(file.read(count * dtypes[key].itemsize), dtypes[key])


def _tensor(
    storage: tuple[str, np.dtype[Any]], offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: object
) -> StoredTensor:
    """Stands in for torch._utils._rebuild_tensor_v2. Offset and strides count numbers, not bytes."""
    key, dtype = storage
    return StoredTensor(key, dtype, offset, shape, strides)
