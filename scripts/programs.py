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
from scripts.protobuf import Content, fields, message, packed, text

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
    for number, variable in fields(message(blocks[0])):
        if number != 3:
            continue
        described = dict(fields(message(variable)))
        kind = dict(fields(message(described[2])))
        if described.get(3) and kind[1] == _DENSE_TENSOR:
            tensor = dict(fields(message(kind[3])))[1]
            yield text(described[1]), tensor_type(message(tensor))


def tensor_type(description: Content) -> TensorType:
    """The type in a TensorDesc of framework.proto (element type 1, dimensions 2); ValueError if there is none."""
    code, shape = None, list[int]()
    for number, value in fields(description):
        if number == 1:
            code = value
        elif number == 2:
            shape += [value] if isinstance(value, int) else packed(value)
    if not isinstance(code, int) or code not in _DTYPE_BY_CODE:
        raise ValueError(f"element type {code!r} isn't supported")
    return TensorType(_DTYPE_BY_CODE[code], tuple(shape))
