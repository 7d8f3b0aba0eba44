"""Triton beside other servers that do the same job on the same cores."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from bench import ensemble, prepared, rows, strategies
from bench.alternatives.pipeline import REWRITTEN
from bench.comparison import Comparison, in_turns
from bench.ensemble import TOLERANCE, Served, serving
from bench.inprocess import InProcess
from bench.pictures import photograph
from bench.prepared import Prepared
from bench.rows import CLIENTS, MODEL, SIZE
from scripts import preflight, processes
from scripts.embedded import Ports

BOUND = 1.15
_NAME = rows.busy(rows.pictures(), 1)
_DURATION = ensemble.THROUGHPUT[MODEL][1]
_READY_TIMEOUT_S = 120
_GRACE_S = 10


@dataclass(frozen=True)
class Alternative:
    """What it is called, the module that serves, and how the server is asked: with a port."""

    name: str
    module: str
    ask: Callable[[int], Prepared]


ALTERNATIVES = (
    Alternative("FastAPI", "with_fastapi", lambda port: prepared.posted(port, "/predict", photograph(*SIZE))),
    Alternative("LitServe", "with_litserve", lambda port: prepared.posted(port, "/predict", photograph(*SIZE))),
    Alternative("PyTriton", "with_pytriton", lambda port: prepared.pictures(port, MODEL, [photograph(*SIZE)])),
)


def compare() -> Iterator[Comparison]:
    """Each beside the embedded server, and beside one process without a server; who isn't asked has nothing to do."""
    with serving(MODEL) as served, InProcess("images", served.model, served.network) as alone:
        among = strategies.rewritten(strategies.throughput(strategies.cores()))
        best = strategies.best(among, lambda strategy: alone.image_s(strategy, ensemble.TRIAL))
        np.testing.assert_allclose(served.pictures(1).probabilities()[0], alone.probabilities(best), atol=TOLERANCE)
        for alternative in ALTERNATIVES:
            with running(alternative, served) as theirs:
                ours_s, theirs_s, alone_s = _in_turns(served, theirs, partial(alone.image_s, best, _DURATION))
            yield Comparison(_NAME, alternative.name, ours_s, theirs_s, "least", BOUND)
            yield Comparison(rows.without_server(_NAME, str(best)), alternative.name, alone_s, theirs_s, "least", 0.0)
        for alternative in ALTERNATIVES:
            with running(alternative, served, rewritten=True) as theirs:
                ours_s, theirs_s = _in_turns(served, theirs)
            yield Comparison(_NAME, f"{alternative.name}, our graph", ours_s, theirs_s, "least", 0.0)


def _in_turns(served: Served, theirs: Prepared, *others: Callable[[], float]) -> list[tuple[float, ...]]:
    """Seconds an image of ours, theirs, and whatever else; first both answer the same."""
    ours = served.pictures(1)
    np.testing.assert_allclose(ours.probabilities(), theirs.probabilities(), atol=TOLERANCE)
    sides = [partial(each.image_s, CLIENTS, _DURATION) for each in (ours, theirs)]
    return in_turns(ensemble.ROUNDS, *sides, *others)


@contextmanager
def running(alternative: Alternative, served: Served, *, rewritten: bool = False) -> Iterator[Prepared]:
    """The other server, from when it answers to its end."""
    ports = Ports().chosen()
    arguments = (served.model.name, served.network, ports.http, ports.grpc, ports.metrics)
    module = f"{__package__}.{alternative.module}"
    process = processes.start([sys.executable, "-m", module, *map(str, arguments)], _environment(rewritten))
    said: list[str] = []
    reader = threading.Thread(target=lambda: said.extend(process.stdout or ()), daemon=True)
    reader.start()
    try:
        request = alternative.ask(ports.http)
        _wait_ready(request, process, said)
        yield request
    finally:
        processes.stop(process, _GRACE_S)
        reader.join(_GRACE_S)


def _environment(rewritten: bool) -> dict[str, str]:
    """PyTriton's backend must find this interpreter and its library, and would take the first of PATH and another's."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    libraries = str(preflight.libpython().parent)
    return os.environ | {"PATH": path, "LD_LIBRARY_PATH": libraries, REWRITTEN: "1" if rewritten else ""}


def _wait_ready(request: Prepared, process: subprocess.Popen[str], said: list[str]) -> None:
    end_s = time.monotonic() + _READY_TIMEOUT_S
    last: Exception | None = None
    while process.poll() is None and time.monotonic() < end_s:
        try:
            request.probabilities()
            return
        except (OSError, ValueError) as error:  # nobody listens, or not yet
            last = error
            time.sleep(0.2)
    raise RuntimeError(f"it didn't become ready ({last}):\n{''.join(said[-30:])}")
