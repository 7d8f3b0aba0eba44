"""populate in a process that is killed at a moment of one's choice."""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

from scripts import export, onnx_file, pipeline, repository, verify
from scripts.own import Own
from tests.remembering import remembering

#: A fresh process each time, which needn't import all that again.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__])

#: Moments while Paddle is at work for `convert` and for `verify`.
CONVERTING, VERIFYING = "converting", "verifying"
#: Moments within `publish`.
CONFIGURING, BEFORE_RENAME, AFTER_RENAME, PUBLISHED = "configuring", "before rename", "after rename", "published"
MOMENTS = (*pipeline.STEPS, CONVERTING, VERIFYING, CONFIGURING, BEFORE_RENAME, AFTER_RENAME, PUBLISHED)


@dataclass(frozen=True)
class Work:
    """What is to be populated and where; Paddle's answers are in `known`, temporary files go to `scratch`.

    `limits` are those of scripts.onnx_file beyond which weights go into a file of their own.
    """

    own: Own
    weights: Path
    models: Path
    known: Path
    scratch: Path
    limits: Mapping[str, int]


def stop() -> None:
    """End the process that forks the others, and wait for that: by itself it ends a moment after its parent."""
    forkserver._forkserver._stop()


def killed_at(moment: str, work: Work) -> bool:
    """Populate until that moment, and be killed by SIGKILL; False if the moment didn't come."""
    process = _CONTEXT.Process(target=_populate, args=(moment, work))
    process.start()
    process.join(60)
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


def _populate(moment: str, work: Work) -> None:
    tempfile.tempdir = str(work.scratch)
    vars(onnx_file).update(work.limits)
    for module in (export, verify):
        module.run_child = remembering(work.known)
    if moment == CONVERTING:
        export.run_child = _kill
    elif moment == VERIFYING:
        verify.run_child = _kill
    elif moment == CONFIGURING:
        repository.write_whole = _after(2, repository.write_whole)
    elif moment == BEFORE_RENAME:
        repository.move_onnx = _kill
    elif moment == AFTER_RENAME:
        repository.move_onnx = _after(1, repository.move_onnx)
    elif moment == PUBLISHED:
        pipeline.publish = _after(1, pipeline.publish)
    pipeline.populate(work.own, str(work.weights), work.models, report=lambda step: step == moment and _kill())


def _after(count: int, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which kills the process when it has done its work that often."""
    done = []

    def last(*arguments: Any, **options: Any) -> None:
        function(*arguments, **options)
        done.append(arguments)
        if len(done) == count:
            _kill()

    return last


def _kill(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
