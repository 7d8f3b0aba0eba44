"""PyTorch state dicts, read without PyTorch: what is in them, and what is refused."""

from __future__ import annotations

import pickle
import struct
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from scripts.errors import ArchiveError
from scripts.torch_pickle import MAGIC, VERSION, read_state_dict


class Tensor:
    """Pickles as a PyTorch tensor does."""

    def __init__(self, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> None:
        self.layout = offset, shape, strides

    def __reduce__(self) -> tuple[Any, ...]:
        rebuild = sys.modules["torch._utils"]._rebuild_tensor_v2
        return rebuild, (Storage(), *self.layout, False, OrderedDict())


class Storage:
    """Stands for the only storage of the file."""


class TorchPickler(pickle.Pickler):
    def persistent_id(self, value: Any) -> Any:
        return ("storage", sys.modules["torch"].FloatStorage, "7", "cpu", 6) if isinstance(value, Storage) else None


@pytest.fixture
def torch_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Any], Path]:
    """Writes a file as torch.save did before 1.6, with a storage of the numbers 0 to 5."""

    def named(module: str, name: str) -> type:
        return type(name, (), {"__module__": module, "__qualname__": name})

    torch, utils = ModuleType("torch"), ModuleType("torch._utils")
    torch.FloatStorage = named("torch", "FloatStorage")  # type: ignore[attr-defined]
    utils._rebuild_tensor_v2 = named("torch._utils", "_rebuild_tensor_v2")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)

    def write(state: Any) -> Path:
        path = tmp_path / "state.pth"
        with path.open("wb") as file:
            for part in (MAGIC, VERSION, {"little_endian": True}, state, ["7"]):
                TorchPickler(file, 2).dump(part)
            file.write(struct.pack("<q6f", 6, *range(6)))
        return path

    return write


def test_tensors_are_read_with_their_offsets_and_strides(torch_file: Callable[[Any], Path]) -> None:
    path = torch_file(OrderedDict(plain=Tensor(0, (2, 3), (3, 1)), turned=Tensor(1, (2, 2), (1, 2))))

    state = read_state_dict(path)

    assert state["plain"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert state["turned"].tolist() == [[1, 3], [2, 4]]
    assert state["turned"].dtype == np.float32


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("this was run",)


@pytest.mark.parametrize("state", [Malicious(), OrderedDict(weight=Malicious()), OrderedDict(path=Path("x"))])
def test_a_pickle_that_asks_for_anything_else_is_refused_unrun(
    state: Any, torch_file: Callable[[Any], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ArchiveError, match="which no state dict needs"):
        read_state_dict(torch_file(state))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "tensor",
    [
        Tensor(0, (7,), (1,)),
        Tensor(4, (2, 2), (2, 1)),
        Tensor(-1, (2,), (1,)),
        Tensor(5, (2,), (-1,)),
        Tensor(0, (10**9,), (0,)),
    ],
    ids=["long", "offset", "before", "backwards", "repeated"],
)
def test_a_tensor_outside_its_storage_is_refused(tensor: Tensor, torch_file: Callable[[Any], Path]) -> None:
    with pytest.raises(ArchiveError, match="outside its storage"):
        read_state_dict(torch_file(OrderedDict(weight=tensor)))


@pytest.mark.parametrize("kept", [0, 10, 60, -1])
def test_a_file_that_is_cut_short_is_refused(kept: int, torch_file: Callable[[Any], Path]) -> None:
    path = torch_file(OrderedDict(weight=Tensor(0, (6,), (1,))))
    path.write_bytes(path.read_bytes()[:kept])

    with pytest.raises(ArchiveError, match="isn't a plain PyTorch state dict"):
        read_state_dict(path)


def test_a_storage_is_not_read_by_the_length_it_claims(torch_file: Callable[[Any], Path]) -> None:
    path = torch_file(OrderedDict(weight=Tensor(0, (6,), (1,))))
    numbers = struct.pack("<q6f", 6, *range(6))
    path.write_bytes(path.read_bytes().replace(numbers, struct.pack("<q6f", 10**15, *range(6))))

    with pytest.raises(ArchiveError, match="it is cut short"):
        read_state_dict(path)


def test_a_file_that_isnt_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=r"couldn't read .*none\.pth"):
        read_state_dict(tmp_path / "none.pth")
