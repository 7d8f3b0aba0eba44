"""Which parameters a Paddle program declares, read from its file without Paddle."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scripts.errors import ArchiveError

#: VarType.Type of Paddle's framework.proto.
_DTYPE_BY_CODE = {
    0: "bool",
    1: "int16",
    2: "int32",
    3: "int64",
    4: "float16",
    5: "float32",
    6: "float64",
    20: "uint8",
    21: "int8",
}
#: The element types of Paddle 3's JSON programs.
_DTYPE_BY_TAG = {
    "t_bool": "bool",
    "t_i8": "int8",
    "t_ui8": "uint8",
    "t_i16": "int16",
    "t_i32": "int32",
    "t_i64": "int64",
    "t_f16": "float16",
    "t_f32": "float32",
    "t_f64": "float64",
}
#: VarType.Type of an ordinary tensor; feed and fetch variables persist too, but are of other types.
_DENSE_TENSOR = 7


@dataclass(frozen=True)
class TensorType:
    """Element type (numpy's name of it) and shape of a tensor."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of the elements, stored without padding."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    def __str__(self) -> str:
        return f"{self.dtype}{list(self.shape)}"


def declared_parameters(program: Path) -> dict[str, TensorType]:
    """Types of a program's parameters, sorted by name as Paddle writes them to the parameters file.

    Takes Paddle 3's `.json` and Paddle 2's `.pdmodel`; ArchiveError if it is neither.
    """
    read = _json_parameters if program.suffix == ".json" else _legacy_parameters
    try:
        found = dict(read(program.read_bytes()))
    except (ValueError, LookupError, TypeError) as error:
        raise ArchiveError(f"{program} isn't a Paddle program, or it is damaged ({error!r}); fetch it again") from None
    if not found:
        raise ArchiveError(f"{program} has no parameters; export the model together with its weights")
    return dict(sorted(found.items()))


def _json_parameters(content: bytes) -> Iterator[tuple[str, TensorType]]:
    """The `p` operations (builtin.parameter) of a PIR program: `A[3]` is the name, `O.TT.D` the type."""
    program: Any = json.loads(content)["program"]
    for operation in program["regions"][0]["blocks"][0]["ops"]:
        if operation["#"] == "p":
            element, shape = operation["O"]["TT"]["D"][:2]
            dtype = _DTYPE_BY_TAG[element["#"].rpartition(".")[2]]
            yield operation["A"][3], TensorType(dtype, tuple(shape))


def _legacy_parameters(content: bytes) -> Iterator[tuple[str, TensorType]]:
    """The persistable tensors of a ProgramDesc's first block.

    Field numbers of framework.proto: ProgramDesc.blocks 1; BlockDesc.vars 3; VarDesc.name 1, type 2,
    persistable 3; VarType.type 1, lod_tensor 3; LoDTensorDesc.tensor 1.
    """
    blocks = [value for number, value in fields(content) if number == 1]
    for number, variable in fields(_message(blocks[0])):
        if number != 3:
            continue
        described = dict(fields(_message(variable)))
        kind = dict(fields(_message(described[2])))
        if described.get(3) and kind[1] == _DENSE_TENSOR:
            tensor = dict(fields(_message(kind[3])))[1]
            yield _message(described[1]).decode(), tensor_type(_message(tensor))


def tensor_type(description: bytes) -> TensorType:
    """The type in a TensorDesc of framework.proto (element type 1, dimensions 2); ValueError if there is none."""
    code, shape = None, list[int]()
    for number, value in fields(description):
        if number == 1:
            code = value
        elif number == 2:
            shape += [value] if isinstance(value, int) else _packed(value)
    if not isinstance(code, int) or code not in _DTYPE_BY_CODE:
        raise ValueError(f"element type {code!r} isn't supported")
    return TensorType(_DTYPE_BY_CODE[code], tuple(shape))


def fields(content: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field of a protobuf message (protobuf.dev, "Encoding"); ValueError if it is none."""
    position = 0
    while position < len(content):
        key, position = _varint(content, position)
        number, wire_type = key >> 3, key & 7
        if wire_type == 0:
            value, position = _varint(content, position)
            yield number, value
            continue
        length, position = _length(wire_type, content, position)
        if position + length > len(content):
            raise ValueError("it ends in the middle of a field")
        yield number, content[position : position + length]
        position += length


def _length(wire_type: int, content: bytes, position: int) -> tuple[int, int]:
    """Bytes of a field's value, and where the value begins."""
    if wire_type == 2:
        return _varint(content, position)
    if wire_type not in (1, 5):
        raise ValueError(f"protobuf has no wire type {wire_type}")
    return {1: 8, 5: 4}[wire_type], position


def _varint(content: bytes, position: int) -> tuple[int, int]:
    """The integer that begins at `position`, and where it ends."""
    number = 0
    for shift in range(0, 70, 7):
        if position >= len(content):
            raise ValueError("it ends in the middle of a number")
        byte = content[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
    raise ValueError("a number of more than 64 bits")


def _packed(content: bytes) -> list[int]:
    numbers, position = list[int](), 0
    while position < len(content):
        number, position = _varint(content, position)
        numbers.append(number)
    return numbers


def _message(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number where a message belongs")
    return value
