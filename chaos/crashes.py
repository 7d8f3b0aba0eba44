"""A process of the server's dies: one of a backend's, then tritonserver itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from chaos.load import MODEL, Asking, Load
from chaos.supervised import Supervised
from chaos.trial import Promise, Trial
from scripts.stubs import STUB
from tritonclas import Classifier, ModelServer

#: A caller who would rather wait than be told: until its deadline.
RETRIES = 30
TIMEOUT_S = 30.0
#: Until calls are answered again: it is noticed within four seconds, and the server ends and starts.
_BOUND_MS = 10_000


@dataclass(frozen=True)
class _Crash:
    name: str
    options: tuple[str, ...]
    process: str
    argument: str


_CRASHES = (
    _Crash("the network's process killed", ("--isolated",), STUB, f"{MODEL}_net"),
    _Crash("the preprocessing's process killed", ("--isolated",), STUB, "preprocess_"),
    _Crash("tritonserver killed, backends inside", (), "tritonserver", ""),
)


def crashes(repository: Path, *, short: bool = False) -> Iterator[Trial]:
    """Kill it with SIGKILL while callers go on, under a supervisor that starts again what ends."""
    for crash in _CRASHES[:1] if short else _CRASHES:
        yield _killed(repository, crash, steady_s=0.3 if short else 3.0)


def _killed(repository: Path, crash: _Crash, steady_s: float) -> Trial:
    with Supervised(MODEL, "--repository", repository, *crash.options) as supervised:
        with ModelServer(supervised.url) as server:
            server.wait_ready(MODEL, timeout_s=60)
        with (
            Classifier(supervised.url, MODEL, retries=RETRIES, timeout_s=TIMEOUT_S) as classifier,
            Load(Asking(classifier), workers=2) as load,
        ):
            time.sleep(steady_s)
            killed_s = time.monotonic()
            supervised.processes(crash.process, crash.argument)[0].kill()
            back_s = _back(supervised, load)
            recovery_ms = 1000 * (back_s - killed_s)
            time.sleep(steady_s)
        statuses = list(supervised.statuses)
    return Trial(
        crash.name,
        f"kill -9 under `python -m scripts.serve {' '.join((MODEL, *crash.options))}` and a supervisor that starts it "
        f"again; 2 callers in a closed loop with `retries={RETRIES}`",
        load.ended,
        expected=(),
        lost=load.lost,
        recovery_ms=recovery_ms,
        promises=(
            Promise("serve ends with status 1, once", str(statuses), statuses == [1]),
            Promise.at_most("until the server that was started again answers", recovery_ms, _BOUND_MS),
        ),
    )


def _back(supervised: Supervised, load: Load, limit_s: float = 30.0) -> float:
    """When (monotonic clock) a call was answered that was made after the command had ended; infinite if never."""
    end_s = time.monotonic() + limit_s
    while not supervised.statuses and time.monotonic() < end_s:
        time.sleep(0.01)
    return time.monotonic() if load.wait_for_answers(1, limit_s) else float("inf")
