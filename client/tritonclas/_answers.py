"""Files of answers, one row an image, that are written as answers come and gone on with after an interruption."""

from __future__ import annotations

import contextlib
import csv
import fcntl
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, TextIO

import click

from tritonclas import _parquet
from tritonclas._answer_formats import Csv, Format, Found, JsonLines, Other, Records, row_of
from tritonclas.errors import ImageRejected
from tritonclas.results import Classification

FORMATS: Final[dict[str, Callable[[], Format]]] = {".jsonl": JsonLines, ".csv": Csv, ".parquet": JsonLines}


class Answers:
    """A file of answers, `.jsonl`, `.csv` or `.parquet`; what is in it already needn't be asked again.

    Parquet files can't be added to: rows are kept beside it as JSON lines, `….parquet.part`, until all are there.
    All that is wrong with the file is click's error.
    """

    def __init__(self, path: Path, model: str, top_k: int) -> None:
        _check_path(path)
        self.path = path
        self.rejected_before = 0
        self._format = FORMATS[path.suffix]()
        self._model = model
        self._top_k = top_k
        self._kept = path.with_name(f"{path.name}.part") if path.suffix == ".parquet" else path
        self._answered: set[str] = set()
        self._empty = True

    def __enter__(self) -> Answers:
        self.rows = 0
        with self._told():
            finished = self._kept != self.path and self.path.exists()
            if finished:
                self._note(_parquet.read(self.path))
                self._kept.unlink(missing_ok=True)
            self._file = None if finished else self._opened()
        return self

    def __exit__(self, *_: object) -> None:
        if self._file:
            with contextlib.suppress(OSError):  # what could be written is there
                self._file.close()
            if not self._kept.stat().st_size:
                self._kept.unlink()

    def new(self, image: str) -> bool:
        """Whether there is no row of that image; there will be, so that it is true once."""
        known = image in self._answered or (self._file is None and _parquet.in_unicode(image) in self._answered)
        self._answered.add(image)
        return not known

    def add(self, image: str, result: Classification | ImageRejected) -> None:
        """One more row, which is in the file when this returns."""
        with self._told():
            if self._file is None:
                raise click.ClickException(f"{self.path} is finished, and can't be added to; give another --out")
            head = self._format.head(self._top_k) if self._empty else ""
            self._file.write(head + self._format.text(row_of(image, self._model, result), self._top_k))
            self._file.flush()
            self._empty = False
            self.rows += 1

    def finish(self) -> None:
        """Everything has been answered."""
        if self._file and self._kept != self.path and self.rows:
            with self._told():
                _parquet.write(self._kept, self.path)
                self._kept.unlink()
                self._file.close()
                self._file = None

    def __str__(self) -> str:
        """How much is there, in words."""
        return f"{self.rows:,} rows are in {self._kept}"

    def _opened(self) -> TextIO:
        """The file, to be added to by this process alone; a row that was cut off is cut away."""
        file = self._kept.open("a+", encoding="utf-8", errors="surrogateescape", newline="")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with self._kept.open("rb") as content:
                records = Records(content, quoted=self._format.quoted)
                self._note(self._format.read(records, self._top_k))
                whole = records.end and self._format.quoted  # then anything may be the begin of a row
                if not whole and not self._format.may_begin_with(records.rest, self._top_k):
                    raise ValueError("no row")
            file.truncate(records.end)
            self._empty = not records.end
        except BaseException:
            file.close()
            raise
        return file

    def _note(self, rows: Iterable[Found]) -> None:
        for row in rows:
            if row.model != self._model:
                raise Other(f"of {row.model}")
            self._answered.add(row.image)
            self.rows += 1
            self.rejected_before += row.rejected

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """What is wrong with the file, in one line."""
        try:
            yield
        except BlockingIOError:
            raise click.ClickException(f"{self._kept} is being written to by another run") from None
        except OSError as error:
            raise click.ClickException(
                f"{self._kept} can't be written ({error.strerror}); {self.rows:,} rows are in it"
            ) from error
        except Other as other:
            wanted = f"of {self._model} with {self._top_k}"
            raise click.ClickException(
                f"{self.path} has answers {other}, not {wanted}; give another --out, or remove it"
            ) from other
        except (KeyError, TypeError, ValueError, csv.Error) as error:
            raise click.ClickException(f"{self.path} isn't a file of answers; give another --out") from error


def _check_path(path: Path) -> None:
    """click's error unless answers can be kept there."""
    if path.suffix not in FORMATS:
        raise click.UsageError(f"--out must end with {', '.join(FORMATS)}; {path} doesn't")
    if not path.absolute().parent.is_dir():
        raise click.UsageError(f"there is no folder {path.absolute().parent} for --out")
    if path.suffix == ".parquet":
        try:
            _parquet.pyarrow()
        except ImportError as error:
            raise click.UsageError(f"Parquet needs pyarrow ({error}): pip install 'tritonclas[parquet]'") from None
