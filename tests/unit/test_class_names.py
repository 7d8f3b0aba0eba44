"""scripts.class_names: a user's list of classes, as it is, or as PaddleClas numbers it."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.class_names import MOST_BYTES, read_class_names
from scripts.errors import ArchiveError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "labels.txt"


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (b"daisy\nrose\n", ("daisy", "rose")),
        (b"daisy\nrose", ("daisy", "rose")),
        (b"daisy\r\nrose\r\n\r\n", ("daisy", "rose")),
        ("\ufeffg\u00e4nse: bl\u00fcmchen\n\u6708\u5b63".encode(), ("g\u00e4nse: bl\u00fcmchen", "\u6708\u5b63")),
        (b"0 daisy\n1 rose, red\n", ("daisy", "rose, red")),
        (b"1 rose\n0 daisy\n", ("daisy", "rose")),
        (b"0: daisy\n1,rose\n", ("daisy", "rose")),
        (b"1 rose\n2 daisy\n", ("1 rose", "2 daisy")),  # not from 0 on: the numbers belong to the names
        (b"0 daisy\nrose\n", ("0 daisy", "rose")),
        (b"0 daisy\n0 rose\n", ("0 daisy", "0 rose")),
        (b"0 a\n2 b\n", ("0 a", "2 b")),
        (b"crane\ncrane\n", ("crane", "crane")),
        (b"0\n1\n", ("0", "1")),
    ],
    ids=str,
)
def test_names_in_the_order_of_the_classes(file: Path, content: bytes, names: tuple[str, ...]) -> None:
    file.write_bytes(content)
    assert read_class_names(file) == names


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", r"line 1 of .*labels\.txt is empty"),
        (b"daisy\n\nrose\n", r"line 2 of .*labels\.txt is empty; .* without gaps"),
        (b"daisy\nro\tse\n", "line 2 .* can't be printed"),
        (b"daisy\xff\n", "isn't UTF-8 text .* at byte 5"),
    ],
    ids=str,
)
def test_what_is_no_list_is_refused(file: Path, content: bytes, why: str) -> None:
    file.write_bytes(content)
    with pytest.raises(ArchiveError, match=why):
        read_class_names(file)


def test_a_file_that_cant_be_read_is_named(file: Path) -> None:
    with pytest.raises(ArchiveError, match=r"labels\.txt can't be read \(No such file"):
        read_class_names(file)
    file.mkdir()
    with pytest.raises(ArchiveError, match=r"labels\.txt can't be read \(Is a directory"):
        read_class_names(file)


def test_a_file_that_is_too_large_isnt_read(file: Path) -> None:
    with file.open("wb") as opened:
        opened.truncate(MOST_BYTES + 1)
    with pytest.raises(ArchiveError, match="larger than 16 MiB"):
        read_class_names(file)
