"""Reading protobuf messages field by field, without their schema and without a copy of what is passed over."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

Content = bytes | memoryview


def mapped(path: Path) -> Content:
    """A file's content, which is read only where it is looked at; ValueError if it is empty."""
    with path.open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def fields(content: Content) -> Iterator[tuple[int, int | Content]]:
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


def _length(wire_type: int, content: Content, position: int) -> tuple[int, int]:
    """Bytes of a field's value, and where the value begins."""
    if wire_type == 2:
        return _varint(content, position)
    if wire_type not in (1, 5):
        raise ValueError(f"protobuf has no wire type {wire_type}")
    return {1: 8, 5: 4}[wire_type], position


def _varint(content: Content, position: int) -> tuple[int, int]:
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


def packed(content: Content) -> list[int]:
    numbers, position = list[int](), 0
    while position < len(content):
        number, position = _varint(content, position)
        numbers.append(number)
    return numbers


def message(value: int | Content) -> Content:
    if isinstance(value, int):
        raise ValueError("a number where a message belongs")
    return value


def text(value: int | Content) -> str:
    """A field's value as text; ValueError if it isn't any."""
    return bytes(message(value)).decode()
