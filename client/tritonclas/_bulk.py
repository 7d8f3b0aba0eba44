"""`tritonclas classify --out`: any number of pictures into a file, with progress, to be gone on with if interrupted."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tritonclas import (
    Classification,
    Classifier,
    DeadlineExceeded,
    ImageRejected,
    ModelNotReady,
    ServerError,
    ServerOverloaded,
    ServerUnavailable,
)
from tritonclas._answers import Answers

_COLUMNS: Final = (
    TextColumn("{task.description}"),
    BarColumn(),
    MofNCompleteColumn(),
    TextColumn("{task.fields[speed]}"),
    TimeRemainingColumn(),
)

#: After these the same command may succeed later.
_PASSING: Final = (DeadlineExceeded, ModelNotReady, ServerError, ServerOverloaded, ServerUnavailable)


@dataclass
class Count:
    """What has become of the images."""

    classified: int = 0
    rejected: int = 0
    before: int = 0
    begin_s: float = field(default_factory=time.monotonic)

    def add(self, result: Classification | ImageRejected) -> None:
        """One more."""
        if isinstance(result, ImageRejected):
            self.rejected += 1
        else:
            self.classified += 1

    @property
    def speed(self) -> str:
        """Images a second in this run, once that says something."""
        passed_s = time.monotonic() - self.begin_s
        return f"{(self.classified + self.rejected) / passed_s:,.0f} images/s" if passed_s > 1 else ""

    @property
    def seen(self) -> int:
        """Images with a row, as far as this run has come."""
        return self.classified + self.rejected + self.before


def classify_into(answers: Answers, pictures: Iterable[str], classifier: Classifier, options: Mapping[str, Any]) -> int:
    """A row for every picture that has none yet; how many have one that says why they were rejected.

    `pictures` are iterated over twice. A call that fails, and Ctrl-C, end it with click's error; what was answered is
    in the file.
    """
    count = Count()
    progress = Progress(*_COLUMNS, console=Console(stderr=True))
    # Left unshown, since before rich 14.3 one that is disabled still prints an empty line.
    with answers, progress if progress.console.is_terminal else contextlib.nullcontext():
        task = progress.add_task("classifying", total=sum(1 for _ in pictures), speed="")
        try:
            for picture, result in answered(classifier, _left(pictures, answers, count), options):
                answers.add(picture, result)
                count.add(result)
                progress.update(task, completed=count.seen, speed=count.speed)
            progress.update(task, completed=count.seen)
            answers.finish()
        except KeyboardInterrupt:
            raise _Interrupted(f"interrupted; {answers}, the same command goes on") from None
        except _PASSING as error:
            raise click.ClickException(f"{error}; {answers}, the same command goes on") from error
    click.echo(f"{answers.path}: {_summary(count, answers)}", err=True)
    return count.rejected + answers.rejected_before


def _summary(count: Count, answers: Answers) -> str:
    now = f"{count.classified:,} images classified, {count.rejected:,} rejected"
    if not count.before:
        return now
    rejected = f", {answers.rejected_before:,} of them rejected" if answers.rejected_before else ""
    return f"{now}; {count.before:,} were there before{rejected}"


class _Interrupted(click.ClickException):
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
        if answers.new(picture):
            yield picture
        else:
            count.before += 1
