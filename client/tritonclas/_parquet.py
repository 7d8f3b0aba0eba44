"""Answers as Parquet, by pyarrow, which is an extra and slow to import."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

from tritonclas._answer_formats import Found, Row

#: Rows that are in memory at a time.
_ROWS: Final = 10_000


def pyarrow() -> Any:
    """The package; ImportError if it isn't there."""
    import pyarrow.parquet  # noqa: PLC0415

    return pyarrow


def write(lines: Path, path: Path) -> None:
    """A file of JSON lines as Parquet, a part at a time; it has its name when it is whole."""
    pa = pyarrow()
    label = pa.struct([("index", pa.int32()), ("score", pa.float32()), ("name", pa.string())])
    names = [(name, pa.string()) for name in ("image", "model", "version")]
    schema = pa.schema([*names, ("labels", pa.list_(label)), ("error", pa.string())])
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        with pa.parquet.ParquetWriter(unfinished, schema) as writer, lines.open(encoding="utf-8") as file:
            while rows := [_in_unicode(json.loads(line)) for line in islice(file, _ROWS)]:
                writer.write_table(pa.Table.from_pylist(rows, schema))
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def read(path: Path) -> Iterator[Found]:
    """The rows of such a file; ValueError or KeyError if it is another."""
    with pyarrow().parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=["image", "model", "error"]):
            columns = batch.to_pydict()
            for image, model, error in zip(columns["image"], columns["model"], columns["error"], strict=True):
                yield Found(image, model, error is not None)


def in_unicode(path: str) -> str:
    """A path as Parquet can have it: bytes that aren't UTF-8 as `\\\\xff`."""
    return os.fsencode(path).decode(errors="backslashreplace")


def _in_unicode(row: Row) -> Row:
    return row | {"image": in_unicode(row["image"])}
