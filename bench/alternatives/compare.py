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

from bench import ensemble, prepared, rows
from bench.alternatives.pipeline import REWRITTEN
from bench.comparison import Comparison, in_turns
from bench.ensemble import TOLERANCE, Served, serving
from bench.pictures import photograph
from bench.prepared import Prepared
from bench.rows import CLIENTS, MODEL, SIZE
from scripts import preflight, processes
from scripts.embedded import Ports

BOUND = 1.15
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
    """Each beside the embedded server; an idle one has nothing to do."""
    with serving(MODEL) as served:
        for rewritten in (False, True):
            for alternative in ALTERNATIVES:
                with running(alternative, served, rewritten=rewritten) as theirs:
                    other, bound = (f"{alternative.name}, our graph", 0.0) if rewritten else (alternative.name, BOUND)
                    yield _beside(served.pictures(1), theirs, other, bound)


def _beside(ours: Prepared, theirs: Prepared, other: str, bound: float) -> Comparison:
    np.testing.assert_allclose(ours.probabilities(), theirs.probabilities(), atol=TOLERANCE)
    duration = ensemble.THROUGHPUT[MODEL][1]
    sides = [partial(each.image_s, CLIENTS, duration) for each in (ours, theirs)]
    name = rows.busy(rows.pictures(), 1)
    ours_s, theirs_s = in_turns(ensemble.ROUNDS, *sides)
    return Comparison(name, other, ours_s, theirs_s, "least", bound)


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
