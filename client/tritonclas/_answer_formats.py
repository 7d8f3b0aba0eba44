"""Answers as text, one row an image, and back: JSON lines, and CSV (RFC 4180)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, NamedTuple, Protocol

from tritonclas.errors import ImageRejected
from tritonclas.results import Classification

#: An image's row: its path, and either its labels or why it has none.
Row = dict[str, Any]


def row_of(image: str, model: str, result: Classification | ImageRejected) -> Row:
    """What is kept of an answer."""
    if isinstance(result, ImageRejected):
        return {"image": image, "model": model, "version": "", "labels": (), "error": result.reason}
    return {"image": image, "model": model, "version": result.version, "labels": result.labels, "error": None}


class Found(NamedTuple):
    """A row that is there: of which image and model, and whether the image was rejected."""

    image: str
    model: str
    rejected: bool


class Other(Exception):
    """The rows are answers, but other ones than are wanted; the message says what they are."""


class Format(Protocol):
    """How rows are text; `quoted` says that a line may end within quotes, which then doesn't end its row."""

    quoted: bool

    def head(self, top_k: int) -> str:
        """What the file begins with."""

    def text(self, row: Row, top_k: int) -> str:
        """A row, with the end of its line."""

    def read(self, texts: Iterable[str], top_k: int) -> Iterator[Found]:
        """Each row; KeyError, TypeError, ValueError or csv.Error if that isn't one. `Other` if it has other columns."""

    def may_begin_with(self, text: str, top_k: int) -> bool:
        """Whether a row that was cut off, or what comes before all rows, may be this."""


class JsonLines:
    """One JSON object a line."""

    quoted = False

    def head(self, top_k: int) -> str:
        """Nothing."""
        return ""

    def text(self, row: Row, top_k: int) -> str:
        """The object."""
        labels = [{"index": each.index, "score": each.score, "name": each.name} for each in row["labels"]]
        return json.dumps(row | {"labels": labels}) + "\n"

    def read(self, texts: Iterable[str], top_k: int) -> Iterator[Found]:
        """From the objects."""
        for text in texts:
            row = json.loads(text)
            if len(row["labels"]) > top_k:
                raise Other(f"with {len(row['labels'])} classes each")
            yield Found(row["image"], row["model"], row["error"] is not None)

    def may_begin_with(self, text: str, top_k: int) -> bool:
        """As `text` writes it."""
        return _begin_alike(text, '{"image": "')


class Csv:
    """A table: image, model, version, error, and index, name and score of each class."""

    quoted = True

    def head(self, top_k: int) -> str:
        """The names of the columns."""
        return _line(_columns(top_k))

    def text(self, row: Row, top_k: int) -> str:
        """The row; classes that there aren't stay empty."""
        values = [value for label in row["labels"] for value in (label.index, label.name, label.score)]
        padding = [""] * (3 * top_k - len(values))
        return _line([row["image"], row["model"], row["version"], row["error"], *values, *padding])

    def read(self, texts: Iterable[str], top_k: int) -> Iterator[Found]:
        """From the table."""
        table = csv.DictReader(texts)
        columns = list(table.fieldnames or ())
        if columns and columns != _columns(len(columns) // 3 - 1):
            raise ValueError("other columns")
        if columns and columns != _columns(top_k):
            raise Other(f"with {len(columns) // 3 - 1} classes each")
        for row in table:
            yield Found(row["image"], row["model"], bool(row["error"]))

    def may_begin_with(self, text: str, top_k: int) -> bool:
        """Names of columns, if no row is there; after rows, what a row begins with isn't known."""
        return _begin_alike(text, self.head(top_k))


def _begin_alike(text: str, other: str) -> bool:
    return text.startswith(other) or other.startswith(text)


def _columns(top_k: int) -> list[str]:
    classes = [f"{name}_{place}" for place in range(1, top_k + 1) for name in ("index", "name", "score")]
    return ["image", "model", "version", "error", *classes]


def _line(values: list[Any]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(values)
    return buffer.getvalue()


class Records:
    """The whole rows of a file, each with the end of its line.

    `end` is where the last of them ends, `rest` what comes after it. Names of files needn't be UTF-8.
    """

    def __init__(self, file: BinaryIO, *, quoted: bool) -> None:
        self.end = 0
        self.rest = ""
        self._file = file
        self._quoted = quoted

    def __iter__(self) -> Iterator[str]:
        row = b""
        for line in self._file:
            row += line
            if line.endswith(b"\n") and not (self._quoted and row.count(b'"') % 2):
                self.end += len(row)
                yield row.decode(errors="surrogateescape")
                row = b""
        self.rest = row.decode(errors="surrogateescape")
