"""`tritonclas classify --out`: any number of pictures into a file, with progress, to be gone on with if interrupted."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tritonclas import Classification, Classifier, ImageRejected, TritonClasError
from tritonclas._answers import Answers

_COLUMNS = (
    TextColumn("{task.description}"),
    BarColumn(),
    MofNCompleteColumn(),
    TextColumn("{task.fields[speed]}"),
    TimeRemainingColumn(),
)


@dataclass
class Count:
    """What has become of the images."""

    classified: int = 0
    rejected: int = 0
    before: int = 0

    def add(self, result: Classification | ImageRejected) -> None:
        """One more."""
        if isinstance(result, ImageRejected):
            self.rejected += 1
        else:
            self.classified += 1

    def __str__(self) -> str:
        before = f", {self.before:,} were there before" if self.before else ""
        return f"{self.classified:,} images classified, {self.rejected:,} rejected{before}"

    @property
    def done(self) -> int:
        """Images with a row, in this run or before."""
        return self.classified + self.rejected + self.before


def classify_into(answers: Answers, pictures: Iterable[str], classifier: Classifier, options: Mapping[str, Any]) -> int:
    """A row for every picture that has none yet; how many were rejected. `pictures` are iterated over twice.

    A call that fails, and Ctrl-C, end it with click's error; what was answered is in the file.
    """
    count = Count()
    console = Console(stderr=True)
    with answers, Progress(*_COLUMNS, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("classifying", total=sum(1 for _ in pictures), speed="")
        try:
            for picture, result in answered(classifier, _left(pictures, answers, count), options):
                answers.add(picture, result)
                count.add(result)
                speed = progress.tasks[task].speed
                progress.update(task, completed=count.done, speed=f"{speed:,.0f} images/s" if speed else "")
        except KeyboardInterrupt:
            raise _Interrupted("interrupted", answers.kept_rows(count.done)) from None
        except TritonClasError as error:
            raise _Unfinished(str(error), answers.kept_rows(count.done)) from error
        progress.update(task, completed=count.done)
        answers.finish()
    click.echo(f"{answers.path}: {count}", err=True)
    return count.rejected


class _Unfinished(click.ClickException):
    """The run ended before all was answered."""

    def __init__(self, cause: str, kept: str) -> None:
        super().__init__(f"{cause}; {kept}, the same command goes on")


class _Interrupted(_Unfinished):
    """By Ctrl-C; the exit status is what shells have for that."""

    exit_code = 130


def answered(
    classifier: Classifier, pictures: Iterable[str], options: Mapping[str, Any]
) -> Iterator[tuple[str, Classification | ImageRejected]]:
    """Each picture with its answer."""
    asked: deque[str] = deque()

    def noted() -> Iterator[str]:
        for picture in pictures:
            asked.append(picture)
            yield picture

    with contextlib.closing(classifier.classify_many(noted(), **options)) as results:
        for result in results:
            yield asked.popleft(), result


def _left(pictures: Iterable[str], answers: Answers, count: Count) -> Iterator[str]:
    """Those that have no row yet."""
    for picture in pictures:
        if picture in answers.answered:
            count.before += 1
        else:
            yield picture
