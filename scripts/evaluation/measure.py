"""An evaluation: a served model's answers to labelled pictures, kept and counted as they come."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from scripts.console import progress_console
from scripts.errors import ScriptError
from scripts.evaluation.accuracy import Tally, percent
from scripts.evaluation.answers_file import AnswersFile, kept_answers
from scripts.evaluation.labelled import Labelled, read_labelled
from scripts.evaluation.subject import Subject, answer_of, examine, same_weights
from scripts.processes import Terminated
from tritonclas import Classification, Classifier, ImageRejected, Tls, TritonClasError

#: Where the answers of unfinished evaluations are kept.
STATES = Path("reports") / "evaluate"

_TOP_K = 5


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be evaluated, and how: the command's arguments."""

    name: str
    images: Path
    labels: Path | None
    url: str
    tls: Tls | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    preprocess: Literal["server", "client"]
    batch_size: int | None
    in_flight: int
    timeout_s: float
    limit: int | None
    state: Path | None
    fresh: bool


@dataclass(frozen=True)
class Evaluation:
    """What was measured; `images_per_s` in this run, None if all answers were there before."""

    subject: Subject
    tally: Tally
    images_per_s: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON takes them."""
        published = self.subject.published
        return {
            "model": self.subject.name,
            "synthetic": self.subject.synthetic,
            **self.tally.to_dict(),
            "published": published and {"top1": published.top1, "top5": published.top5},
            "images_per_s": self.images_per_s,
            "warnings": self.subject.remarks(self.tally),
        }


def evaluate(request: Request) -> Evaluation:
    """Measure what an earlier run hasn't; whatever ends it early, the answers so far are kept.

    ScriptError for pictures, labels or a state that can't be used; TritonClasError if the server isn't there.
    """
    with Classifier(
        request.url,
        request.name,
        preprocess=request.preprocess,
        timeout_s=request.timeout_s,
        tls=request.tls,
        headers=request.headers,
    ) as classifier:
        _check_batch_size(classifier, request.batch_size)
        subject = examine(classifier)
        labelled = read_labelled(request.images, request.labels, subject.names)
        pictures = labelled.pictures[: request.limit]
        click.echo(f"{subject.name}: {len(pictures)} of {len(labelled.pictures)} pictures, {labelled.form}", err=True)
        what = {"model": request.name, "preprocess": request.preprocess, "set": labelled.fingerprint()}
        with kept_answers(request.state or usual_state(what), what, request.fresh) as kept:
            _check_resumed(classifier, pictures, kept)
            found = _measured(classifier, request, subject, pictures, kept)
            if len(kept.answers) <= len(pictures):  # more: an earlier run without --limit may still go on
                kept.remove()
    return found


def _check_batch_size(classifier: Classifier, batch_size: int | None) -> None:
    if batch_size and batch_size > (most := classifier.max_batch_size()):
        raise ScriptError(f"{classifier.model} takes at most {most} images a request; --batch-size is {batch_size}")


def usual_state(what: Mapping[str, str]) -> Path:
    """A file of its own for each thing that may be evaluated."""
    digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
    return STATES / f"{re.sub(r'[^A-Za-z0-9_.-]', '_', what['model'])}-{digest[:12]}.jsonl"


def _check_resumed(classifier: Classifier, pictures: Sequence[Labelled], kept: AnswersFile) -> None:
    """Say where it goes on; ScriptError if the model isn't the one that gave the earlier answers."""
    if not kept.answers:
        return
    before = [(str(picture.path), answer) for picture, answer in zip(pictures, kept.answers, strict=False)]
    if not same_weights(classifier, before):
        raise ScriptError(
            f"{classifier.model} doesn't answer as it did when {kept.path} was begun: other weights or pictures; "
            "give --fresh to start anew"
        )
    click.echo(f"resumed at {len(before)} of {len(pictures)}", err=True)


def _measured(
    classifier: Classifier, request: Request, subject: Subject, pictures: Sequence[Labelled], kept: AnswersFile
) -> Evaluation:
    """Ask for the answers that aren't kept yet, and count all."""
    tally = Tally()
    for picture, answer in zip(pictures, kept.answers, strict=False):
        tally.add(str(picture.path), answer)
    todo = pictures[tally.pictures :]
    results = classifier.classify_many(
        (picture.path for picture in todo),
        top_k=min(_TOP_K, len(subject.names)),
        batch_size=request.batch_size,
        in_flight=request.in_flight,
    )
    began = time.monotonic()
    with _kept_on_the_way_out(kept, len(pictures)), closing(results):
        _count(zip(todo, results, strict=True), kept, tally, len(pictures))
    return Evaluation(subject, tally, len(todo) / (time.monotonic() - began) if todo else None)


def _count(
    answered: Iterable[tuple[Labelled, Classification | ImageRejected]], kept: AnswersFile, tally: Tally, total: int
) -> None:
    """Keep and count each answer as it comes, and show how far it is."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[top1]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=progress_console, disable=not progress_console.is_terminal) as progress:
        task = progress.add_task("classifying", total=total, completed=tally.pictures, top1="")
        for picture, result in answered:
            answer = answer_of(result, picture.index)
            kept.add(answer)
            tally.add(str(picture.path), answer)
            top1 = f"top-1 {percent(tally.top1.value)}" if tally.answered else ""
            progress.update(task, completed=tally.pictures, top1=top1)


@contextmanager
def _kept_on_the_way_out(kept: AnswersFile, total: int) -> Iterator[None]:
    """Whatever ends the run early, say what is kept and how to go on."""
    try:
        yield
    except (KeyboardInterrupt, Terminated):
        click.echo(f"interrupted; {_how_to_go_on(kept, total)}", err=True)
        raise
    except TritonClasError as error:
        raise ScriptError(f"{error}; {_how_to_go_on(kept, total)}") from error


def _how_to_go_on(kept: AnswersFile, total: int) -> str:
    if not kept.answers:
        return "nothing was answered yet"
    return f"{len(kept.answers)} of {total} answers are in {kept.path}, and the same command goes on from there"
