"""Files of answers, one row an image, that are written as answers come and gone on with after an interruption."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol

import click

from tritonclas.errors import ImageRejected
from tritonclas.results import Classification

#: Rows that are in memory at a time.
_ROWS: Final = 10_000

#: An image's row: its path, and either its labels or why it has none.
Row = dict[str, Any]


def row_of(image: str, model: str, result: Classification | ImageRejected) -> Row:
    """What is kept of an answer."""
    if isinstance(result, ImageRejected):
        return {"image": image, "model": model, "version": "", "labels": (), "error": result.reason}
    return {"image": image, "model": model, "version": result.version, "labels": result.labels, "error": None}


class Format(Protocol):
    """How rows are text; `quoted` says that a line may end within quotes, which then doesn't end its row."""

    quoted: bool

    def head(self, top_k: int) -> str:
        """What the file begins with."""

    def text(self, row: Row, top_k: int) -> str:
        """A row, with the end of its line."""

    def read(self, texts: Iterable[str]) -> Iterator[tuple[str, str, int]]:
        """Image, model and number of labels of each row; KeyError, TypeError, ValueError or csv.Error if it's none."""


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

    def read(self, texts: Iterable[str]) -> Iterator[tuple[str, str, int]]:
        """From the objects."""
        for text in texts:
            row = json.loads(text)
            yield row["image"], row["model"], len(row["labels"])


class Csv:
    """A table: image, model, version, error, and index, name and score of each class."""

    quoted = True

    def head(self, top_k: int) -> str:
        """The names of the columns."""
        return _line(_columns(top_k))

    def text(self, row: Row, top_k: int) -> str:
        """The row; the classes of an image that has none stay empty."""
        values = [value for label in row["labels"] for value in (label.index, label.name, label.score)]
        return _line([row["image"], row["model"], row["version"], row["error"], *(values or [""] * 3 * top_k)])

    def read(self, texts: Iterable[str]) -> Iterator[tuple[str, str, int]]:
        """From the table."""
        table = csv.DictReader(texts)
        columns = list(table.fieldnames or ())
        if columns and columns != _columns(len(columns) // 3 - 1):
            raise ValueError("other columns")
        for row in table:
            yield row["image"], row["model"], 0 if row["error"] else len(columns) // 3 - 1


def _columns(top_k: int) -> list[str]:
    classes = [f"{name}_{place}" for place in range(1, top_k + 1) for name in ("index", "name", "score")]
    return ["image", "model", "version", "error", *classes]


def _line(values: list[Any]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(values)
    return buffer.getvalue()


FORMATS: Final[dict[str, Callable[[], Format]]] = {".jsonl": JsonLines, ".csv": Csv, ".parquet": JsonLines}


class Answers:
    """A file of answers, `.jsonl`, `.csv` or `.parquet`; what is in it already needn't be asked again.

    Parquet files can't be added to: rows are kept beside it as JSON lines, `….parquet.part`, until all are there.
    """

    def __init__(self, path: Path, model: str, top_k: int) -> None:
        _check_path(path)
        self.path = path
        self.answered: set[str] = set()
        self._format = FORMATS[path.suffix]()
        self._model = model
        self._top_k = top_k
        self._kept = path.with_name(f"{path.name}.part") if path.suffix == ".parquet" else path

    def __enter__(self) -> Answers:
        if self._kept != self.path and self.path.exists():
            raise click.ClickException(f"{self.path} is there already; give another --out, or remove it")
        if self._kept.exists():
            self._go_on()
        self._file = self._kept.open("a", encoding="utf-8", newline="")
        if not self._file.tell():
            self._file.write(self._format.head(self._top_k))
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, image: str, result: Classification | ImageRejected) -> None:
        """One more row, which is in the file when this returns."""
        self._file.write(self._format.text(row_of(image, self._model, result), self._top_k))
        self._file.flush()

    def kept_rows(self, count: int) -> str:
        """What is there of an unfinished run, in words."""
        return f"{count} rows are in {self._kept}"

    def finish(self) -> None:
        """Everything has been answered."""
        if self._kept != self.path:
            self._file.close()
            write_parquet(self._kept, self.path)
            self._kept.unlink()

    def _go_on(self) -> None:
        """Read what is there; a row that was cut off is cut away."""
        with self._kept.open("r+b") as file:
            records = Records(file, quoted=self._format.quoted)
            try:
                for image, model, labels in self._format.read(records):
                    self._check_same(model, labels)
                    self.answered.add(image)
            except (KeyError, TypeError, ValueError, csv.Error) as error:
                raise click.ClickException(f"{self._kept} isn't a file of answers; give another --out") from error
            file.truncate(records.end)

    def _check_same(self, model: str, labels: int) -> None:
        if model != self._model or labels not in (0, self._top_k):
            other = f"has answers of {model} with {labels} classes each"
            raise click.ClickException(
                f"{self._kept} {other}, not of {self._model} with {self._top_k}; give another --out, or remove it"
            )


class Records:
    """The whole rows of a file, each with the end of its line; `end` is where the last of them ends."""

    def __init__(self, file: BinaryIO, *, quoted: bool) -> None:
        self.end = 0
        self._file = file
        self._quoted = quoted

    def __iter__(self) -> Iterator[str]:
        row = b""
        for line in self._file:
            row += line
            if line.endswith(b"\n") and not (self._quoted and row.count(b'"') % 2):
                self.end += len(row)
                yield row.decode()
                row = b""


def _check_path(path: Path) -> None:
    """click's error unless answers can be kept there."""
    if path.suffix not in FORMATS:
        raise click.UsageError(f"--out must end with {', '.join(FORMATS)}; {path} doesn't")
    if not path.absolute().parent.is_dir():
        raise click.UsageError(f"there is no folder {path.absolute().parent} for --out")
    if path.suffix == ".parquet":
        _pyarrow()


def _pyarrow() -> Any:
    try:
        import pyarrow.parquet  # noqa: PLC0415  an extra, and slow to import
    except ImportError as error:
        raise click.UsageError(f"Parquet needs pyarrow ({error}): pip install 'tritonclas[parquet]'") from None
    return pyarrow


def write_parquet(lines: Path, path: Path) -> None:
    """A file of JSON lines as Parquet, a part at a time; it has its name when it is whole."""
    pa = _pyarrow()
    label = pa.struct([("index", pa.int32()), ("score", pa.float32()), ("name", pa.string())])
    names = [(name, pa.string()) for name in ("image", "model", "version")]
    schema = pa.schema([*names, ("labels", pa.list_(label)), ("error", pa.string())])
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        with pa.parquet.ParquetWriter(unfinished, schema) as writer, lines.open(encoding="utf-8") as file:
            while rows := [json.loads(line) for line in islice(file, _ROWS)]:
                writer.write_table(pa.Table.from_pylist(rows, schema))
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
