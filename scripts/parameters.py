"""Where each parameter of an archive's program lies in its inference.pdiparams; only headers are read."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from scripts.archive import Archive
from scripts.errors import ArchiveError
from scripts.files import unreadable
from scripts.programs import TensorType, declared_parameters, tensor_type

#: A tensor's description is an element type and a handful of dimensions: a longer one is something else.
_LONGEST_DESCRIPTION = 1024


@dataclass(frozen=True)
class Parameter:
    """A parameter of a program; its elements are `nbytes` bytes from byte `offset` of the parameters file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    nbytes: int


@dataclass(frozen=True)
class StoredTensor:
    """A tensor of a parameters file, which names none; its elements begin at byte `offset`."""

    type: TensorType
    offset: int


def read_parameters(archive: Archive) -> tuple[Parameter, ...]:
    """All parameters of the archive's program, in the order of its parameters file.

    ArchiveError if the file is damaged or cut short, or isn't the program's: then it names the first
    parameter that doesn't fit. ScriptError if a file can't be read.
    """
    try:
        declared = declared_parameters(archive.program)
        stored = list(stored_tensors(archive.parameters))
    except OSError as error:
        raise unreadable(Path(error.filename or archive.folder), error) from error
    for (name, expected), tensor in zip(declared.items(), stored, strict=False):
        if tensor.type != expected:
            raise _foreign(archive, f"its parameter {name} is {expected}, and the file has {tensor.type} in its place")
    if len(stored) != len(declared):
        raise _foreign(archive, _counted(list(declared), len(stored)))
    return tuple(
        Parameter(name, tensor.type.dtype, tensor.type.shape, tensor.offset, tensor.type.nbytes)
        for name, tensor in zip(declared, stored, strict=True)
    )


def _counted(names: list[str], stored: int) -> str:
    without = f", {names[stored]} the first without weights" if stored < len(names) else ""
    return f"it has {len(names)} parameters and the file {stored} tensors{without}"


def _foreign(archive: Archive, difference: str) -> ArchiveError:
    return ArchiveError(
        f"{archive.parameters} isn't the parameters file of {archive.program.name}: {difference}; "
        "take both files from the same export"
    )


def stored_tensors(path: Path) -> Iterator[StoredTensor]:
    """The tensors of a parameters file in its order; ArchiveError where it is damaged or ends too soon."""
    size = path.stat().st_size
    with path.open("rb") as file:
        while (start := file.tell()) < size:
            tensor = _Header(file, path, start).read()
            end = tensor.offset + tensor.type.nbytes
            if end > size:
                raise _truncated(path, start, end)
            yield tensor
            file.seek(end)


def _truncated(path: Path, start: int, expected: int) -> ArchiveError:
    return ArchiveError(
        f"{path} is cut short: the tensor at byte {start} reaches to byte {expected}, "
        f"but the file has {path.stat().st_size} bytes; download or copy it again"
    )


class _Header:
    """What stands before a tensor's elements, little-endian: Paddle's SerializeToStream (phi/core/framework)."""

    def __init__(self, file: BinaryIO, path: Path, start: int) -> None:
        self._file, self._path, self._start = file, path, start

    def read(self) -> StoredTensor:
        """Version, levels of detail, version, description: leaves the file where the elements begin."""
        try:
            self._version()
            for _ in range(self._count("<Q", "levels of detail")):
                self._take(self._count("<Q", "bytes of a level of detail"))
            self._version()
            described = tensor_type(self._take(self._count("<i", "bytes of description")))
        except ValueError as error:
            raise ArchiveError(
                f"{self._path} isn't a Paddle parameters file, or it is damaged: "
                f"the tensor at byte {self._start}: {error}; download or copy it again"
            ) from None
        return StoredTensor(described, self._file.tell())

    def _version(self) -> None:
        (version,) = struct.unpack("<I", self._take(4))
        if version != 0:
            raise ValueError(f"version {version} instead of 0")

    def _count(self, layout: str, what: str) -> int:
        count: int = struct.unpack(layout, self._take(struct.calcsize(layout)))[0]
        if not 0 <= count <= _LONGEST_DESCRIPTION:
            raise ValueError(f"{count} {what}")
        return count

    def _take(self, count: int) -> bytes:
        taken = self._file.read(count)
        if len(taken) < count:
            raise _truncated(self._path, self._start, self._file.tell() - len(taken) + count)
        return taken
