"""Whose network an archive has is told by its parameters, whatever it was trained on."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import pytest

from scripts.export import convert
from scripts.parameters import read_parameters
from scripts.recognise import rows_like
from tests.unit.conftest import CopyArchive
from tritonclas import zoo

#: Of the tiny network: two convolutions with what BatchNormalization learns, one more, and the last layer.
BELOW = (216 + 16) + (200 + 16) + (128 + 16)


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch, tiny_row: zoo.Model) -> zoo.Model:
    """A zoo with the tiny network, of 1000 classes."""
    row = replace(tiny_row, classes=1000, parameters=BELOW + 17 * 1000)
    others = {name: replace(row, parameters=row.parameters + more) for name, more in (("more", 1), ("less", -1))}
    monkeypatch.setattr(zoo, "MODELS", MappingProxyType({"Tiny": row, **others}))
    return row


@pytest.mark.parametrize("kind", ["json", "legacy", "scores"])
def test_a_row_is_recognised_by_what_is_below_its_last_layer(
    tiny_archive: CopyArchive, rows: zoo.Model, kind: str
) -> None:
    assert convert(tiny_archive(kind)).rows == (rows,)


def test_a_network_that_isnt_in_the_zoo_is_no_row(tiny_archive: CopyArchive) -> None:
    assert convert(tiny_archive("json")).rows == ()


@pytest.mark.parametrize("classes", [None, 11])
def test_without_a_last_layer_nothing_is_said(tiny_archive: CopyArchive, rows: zoo.Model, classes: int | None) -> None:
    archive = tiny_archive("json")
    assert rows_like(convert(archive).graph.graph, read_parameters(archive), classes) == ()
