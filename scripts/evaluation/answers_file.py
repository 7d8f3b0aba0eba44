"""Answers of an unfinished evaluation, kept in a file, so that the next one goes on where it stopped."""

from __future__ import annotations

import contextlib
import fcntl
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import IO

from scripts.errors import ScriptError
from scripts.evaluation.accuracy import Answer
from scripts.files import unwritable

_KIND = "tritonclas evaluation"
_FIELDS = {field.name for field in fields(Answer)}


class AnswersFile:
    """A line for what is evaluated, then a line for each picture that was answered, in the set's order.

    A line is written whole or, if the process is killed, not at all or in part; a part is taken off again.
    """

    def __init__(self, path: Path, file: IO[str], answers: list[Answer]) -> None:
        self.path = path
        self.answers = answers
        self._file = file

    def add(self, answer: Answer) -> None:
        """Keep one more; ScriptError if it can't be written."""
        try:
            self._file.write(_line(asdict(answer)))
            self._file.flush()
        except OSError as error:
            raise unwritable(self.path, error) from error
        self.answers.append(answer)

    def remove(self) -> None:
        """The evaluation is complete."""
        self.path.unlink(missing_ok=True)


@contextlib.contextmanager
def kept_answers(path: Path, what: Mapping[str, str], fresh: bool) -> Iterator[AnswersFile]:
    """The file with what an earlier evaluation of the same has left, or a new one; it is removed if it stays empty.

    `what` says what is evaluated, `fresh` that nothing is to be kept. ScriptError if the file is about
    something else, or if another process is writing it.
    """
    header = _line({"kind": _KIND, **what})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8", newline="\n")
    except OSError as error:
        raise unwritable(path, error) from error
    with file:
        _lock(file, path)
        kept = AnswersFile(path, file, _read(file, path, header, fresh))
        try:
            yield kept
        finally:
            if not kept.answers:
                kept.remove()


def _lock(file: IO[str], path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the kernel takes it off a killed process
    except BlockingIOError:
        raise ScriptError(
            f"another evaluation is writing {path}; wait for it to end, or give another --state"
        ) from None


def _read(file: IO[str], path: Path, header: str, fresh: bool) -> list[Answer]:
    """The answers in the file, which ends after the last of them when this returns."""
    file.seek(0)
    try:
        first, *lines = file.read().splitlines(keepends=True) or [""]
    except UnicodeDecodeError:
        first, lines = "not text\n", []
    if not header.startswith(first):  # a part of it was all that there was time for
        _check_ours(first, path, fresh)
        lines = []
    answers = [] if fresh or first != header else list(_answers(lines))
    try:
        # Only what is of no use is taken off: to be killed here costs nothing.
        file.truncate(sum(map(len, [header, *lines[: len(answers)]])) if answers else 0)
        if not answers:
            file.write(header)
            file.flush()
    except OSError as error:
        raise unwritable(path, error) from error
    return answers


def _answers(lines: list[str]) -> Iterator[Answer]:
    """The answers up to the first line that isn't one: a damaged file is good up to there."""
    for line in lines:
        try:
            values = json.loads(line)
        except ValueError:
            return
        if not line.endswith("\n") or not isinstance(values, dict) or set(values) != _FIELDS:
            return
        yield Answer(**values)


def _check_ours(first: str, path: Path, fresh: bool) -> None:
    """ScriptError for a file that isn't ours to overwrite."""
    try:
        ours = json.loads(first)["kind"] == _KIND
    except (ValueError, KeyError, TypeError):
        ours = False
    if not ours:
        raise ScriptError(f"{path} isn't the state of an evaluation, and is left alone; give --state another file")
    if not fresh:
        raise ScriptError(
            f"{path} is about another model, other pictures or another --preprocess; give --state another file, "
            "or --fresh to start anew"
        )


def _line(values: Mapping[str, object]) -> str:
    return json.dumps(values) + "\n"
