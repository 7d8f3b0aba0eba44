"""scripts.parameters and scripts.programs: where the weights lie, and what is wrong with a file that doesn't fit."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.archive import Archive
from scripts.errors import ArchiveError
from scripts.parameters import read_parameters, stored_tensors
from scripts.programs import declared_parameters
from scripts.protobuf import fields
from tests.unit.conftest import CopyArchive

SHAPES = {
    "batch_norm2d_0.b_0": (8,),
    "batch_norm2d_0.w_0": (8,),
    "batch_norm2d_0.w_1": (8,),
    "batch_norm2d_0.w_2": (8,),
    "batch_norm2d_1.b_0": (8,),
    "batch_norm2d_1.w_0": (8,),
    "batch_norm2d_1.w_1": (8,),
    "batch_norm2d_1.w_2": (8,),
    "conv2d_0.w_0": (8, 3, 3, 3),
    "conv2d_1.w_0": (8, 1, 5, 5),
    "conv2d_2.b_0": (16,),
    "conv2d_2.w_0": (16, 8, 1, 1),
    "linear_0.b_0": (10,),
    "linear_0.w_0": (16, 10),
}


def rewrite(archive: Archive, content: bytes) -> Archive:
    archive.parameters.write_bytes(content)
    return archive


def tensor_spans(archive: Archive) -> list[tuple[int, int]]:
    """Where each tensor begins and ends, its header included."""
    ends = [tensor.offset + tensor.type.nbytes for tensor in stored_tensors(archive.parameters)]
    return list(zip([0, *ends], ends, strict=False))


@pytest.mark.parametrize("kind", ["json", "legacy"])
def test_both_formats_name_every_parameter_in_file_order(tiny_archive: CopyArchive, kind: str) -> None:
    parameters = read_parameters(tiny_archive(kind))
    assert {parameter.name: parameter.shape for parameter in parameters} == SHAPES
    assert [parameter.name for parameter in parameters] == sorted(SHAPES)
    assert {parameter.dtype for parameter in parameters} == {"float32"}


@pytest.mark.parametrize("kind", ["json", "legacy"])
def test_offsets_point_at_the_elements(tiny_archive: CopyArchive, kind: str) -> None:
    archive = tiny_archive(kind)
    content = archive.parameters.read_bytes()
    parameters = {parameter.name: parameter for parameter in read_parameters(archive)}
    last = parameters["linear_0.w_0"]
    assert last.offset + last.nbytes == len(content)
    scale = parameters["batch_norm2d_0.w_0"]
    elements = np.frombuffer(content[scale.offset : scale.offset + scale.nbytes], scale.dtype)
    assert elements.tolist() == [1.0] * 8


@pytest.mark.parametrize("kind", ["json", "legacy"])
def test_a_file_cut_anywhere_is_refused(tiny_archive: CopyArchive, kind: str) -> None:
    archive = tiny_archive(kind)
    content = archive.parameters.read_bytes()
    for size in range(0, len(content), 3):
        with pytest.raises(ArchiveError):
            read_parameters(rewrite(archive, content[:size]))


def test_truncation_is_said_with_both_sizes(tiny_archive: CopyArchive) -> None:
    archive = tiny_archive("json")
    content = archive.parameters.read_bytes()
    with pytest.raises(ArchiveError, match=rf"cut short: .* to byte {len(content)}, .* has {len(content) - 5} bytes"):
        read_parameters(rewrite(archive, content[:-5]))


def test_a_file_cut_between_tensors_names_the_first_that_is_missing(tiny_archive: CopyArchive) -> None:
    archive = tiny_archive("json")
    _, end = tensor_spans(archive)[-2]
    with pytest.raises(ArchiveError, match=r"14 parameters and the file 13 tensors, linear_0\.w_0 the first without"):
        read_parameters(rewrite(archive, archive.parameters.read_bytes()[:end]))


def test_a_tensor_too_many_is_refused(tiny_archive: CopyArchive) -> None:
    archive = tiny_archive("legacy")
    content = archive.parameters.read_bytes()
    start, end = tensor_spans(archive)[0]
    with pytest.raises(ArchiveError, match="14 parameters and the file 15 tensors"):
        read_parameters(rewrite(archive, content + content[start:end]))


@pytest.mark.parametrize("kind", ["json", "legacy"])
def test_swapped_parameters_name_the_first_that_does_not_fit(tiny_archive: CopyArchive, kind: str) -> None:
    archive = tiny_archive(kind)
    content = archive.parameters.read_bytes()
    pieces = [content[start:end] for start, end in tensor_spans(archive)]
    pieces[8], pieces[9] = pieces[9], pieces[8]
    with pytest.raises(ArchiveError, match=r"conv2d_0\.w_0 is float32\[8, 3, 3, 3\], .* float32\[8, 1, 5, 5\]"):
        read_parameters(rewrite(archive, b"".join(pieces)))


@pytest.mark.parametrize("position", [0, 4, 12, 16])
def test_a_spoilt_header_is_refused_with_its_place(tiny_archive: CopyArchive, position: int) -> None:
    archive = tiny_archive("json")
    content = bytearray(archive.parameters.read_bytes())
    start, _ = tensor_spans(archive)[1]
    content[start + position : start + position + 4] = b"\xff" * 4
    with pytest.raises(ArchiveError, match=f"damaged: the tensor at byte {start}"):
        read_parameters(rewrite(archive, bytes(content)))


def test_an_empty_parameters_file_is_refused(tiny_archive: CopyArchive) -> None:
    with pytest.raises(ArchiveError, match="the file 0 tensors"):
        read_parameters(rewrite(tiny_archive("json"), b""))


@given(st.binary(max_size=200))
def test_any_bytes_are_either_tensors_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.pdiparams"
    path.write_bytes(content)
    with suppress(ArchiveError):
        assert all(tensor.offset + tensor.type.nbytes <= len(content) for tensor in stored_tensors(path))


@given(st.binary(max_size=200), st.sampled_from([".json", ".pdmodel"]))
def test_any_bytes_are_no_program(tmp_path_factory: pytest.TempPathFactory, content: bytes, suffix: str) -> None:
    path = tmp_path_factory.getbasetemp() / f"any{suffix}"
    path.write_bytes(content)
    with pytest.raises(ArchiveError, match=r"any\."):
        declared_parameters(path)


@pytest.mark.parametrize("kind", ["json", "legacy"])
def test_a_truncated_program_is_refused(tiny_archive: CopyArchive, kind: str) -> None:
    archive = tiny_archive(kind)
    content = archive.program.read_bytes()
    for size in range(0, len(content), 97):
        archive.program.write_bytes(content[:size])
        with pytest.raises(ArchiveError):
            read_parameters(archive)


def test_a_program_without_parameters_is_refused(tmp_path: Path) -> None:
    program = tmp_path / "inference.json"
    program.write_text('{"program": {"regions": [{"blocks": [{"ops": []}]}]}}')
    with pytest.raises(ArchiveError, match="has no parameters"):
        declared_parameters(program)


def test_weights_of_another_program_are_refused(tiny_archive: CopyArchive) -> None:
    archive, other = tiny_archive("json"), tiny_archive("legacy")
    start, end = tensor_spans(other)[3]
    content = other.parameters.read_bytes()
    foreign = replace(archive, parameters=rewrite(other, content[:start] + content[end:]).parameters)
    with pytest.raises(ArchiveError, match=r"isn't the parameters file of inference\.json"):
        read_parameters(foreign)


def test_protobuf_fields_of_every_wire_type() -> None:
    varint, fixed64, text, fixed32 = b"\x08\x96\x01", b"\x11" + b"\x01" * 8, b"\x1a\x02hi", b"\x25" + b"\x02" * 4
    assert list(fields(varint + fixed64 + text + fixed32)) == [
        (1, 150),
        (2, b"\x01" * 8),
        (3, b"hi"),
        (4, b"\x02" * 4),
    ]
