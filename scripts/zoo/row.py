"""One row the whole way: weights, export, Triton, the SDK's answers beside Paddle's own, latency by Locust."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from loadtest.results import FILE, Results
from scripts.agreement import Batch
from scripts.archive import SYNTHETIC_VERSION, Archive
from scripts.embedded import EmbeddedServer
from scripts.errors import ScriptError, VerificationError
from scripts.photographs import EXAMPLES, photographs
from scripts.provenance import EXPORT_VERSION
from scripts.verify import paddle_answers, tolerance
from scripts.zoo.memory import peak_memory, proportional
from scripts.zoo.record import SURVEY_VERSION, Latency, Machine, Record
from tritonclas import Classifier
from tritonclas.zoo import Model

STEPS = ("weights", "populate", "Paddle's answers", "server", "answers", "load test")
BATCH_SIZES = (1, 4, 8)

#: Seconds: the largest networks take some to load twice, and on two cores some for a batch of 8.
_START_TIMEOUT_S = 1200.0
_REQUEST_TIMEOUT_S = 300.0

Rows = NDArray[np.float32]
Report = Callable[[str], None]


@dataclass(frozen=True)
class Timing:
    """Seconds of the load test: before each cell, and of each cell."""

    warm_up_s: float
    duration_s: float


def key(model: Model, timing: Timing, machine: Machine) -> str:
    """What a measurement depends on, in a word: the page names one machine, and all its rows are that one's."""
    versions = (SURVEY_VERSION, EXPORT_VERSION, SYNTHETIC_VERSION)
    where = (machine.processor, machine.cores, machine.system, machine.versions)
    text = json.dumps([versions, where, asdict(model), asdict(timing)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def measure(model: Model, timing: Timing, machine: Machine, work: Path, report: Report) -> Record:
    """Take the row through all steps in the folder `work`, which is empty again afterwards, whatever happens.

    ScriptError if a step fails, or if an answer isn't Paddle's.
    """
    with _emptied(work):
        report("weights")
        weights: Literal["sample", "synthetic"] = "sample" if model.sample else "synthetic"
        fetched = _run("scripts.fetch", model.name, "--weights", weights, "--out", work)
        archive = Archive.open(work / model.name, "own", "")
        report("populate")
        published = _run(
            "scripts.populate", model.name, "--weights", archive.folder, "--repository", work / "models", "--json"
        )
        (done,) = json.loads(published.output)
        report("Paddle's answers")
        expected = _expected(model, archive)
        shutil.rmtree(archive.folder)
        report("server")
        begin_s = time.perf_counter()
        with EmbeddedServer([model.name], work / "models", start_timeout_s=_START_TIMEOUT_S) as server:
            load_s = time.perf_counter() - begin_s
            report("answers")
            served_difference = _check_answers(model, server.url, expected)
            report("load test")
            latency = _load_test(model, server.url, timing, work / "sweep")
            memory = proportional(server.process.pid)
    return Record(
        model=model.name,
        key=key(model, timing, machine),
        date=datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        weights=archive.kind,
        onnx=done["bytes"],
        fetch_s=fetched.seconds,
        fetch_peak=fetched.peak,
        export_s=done["seconds"]["convert"] + done["seconds"]["export"],
        verify_s=done["seconds"]["verify"],
        populate_peak=published.peak,
        difference=done["difference"],
        load_s=load_s,
        served_difference=served_difference,
        server_memory=memory,
        latency=latency,
    )


@contextmanager
def _emptied(work: Path) -> Iterator[None]:
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        yield
    finally:
        shutil.rmtree(work, ignore_errors=True)


@dataclass(frozen=True)
class _Ran:
    output: str
    seconds: float
    peak: int


def _run(module: str, *arguments: object) -> _Ran:
    """Run a command of the project to its end; ScriptError with its last line if it fails."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    begin_s = time.perf_counter()
    started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with started as process, peak_memory(process.pid) as peak:
        output, errors = _communicate(process)
    if process.returncode != 0:
        last = (errors.strip() or output.strip() or "it wrote nothing").splitlines()[-1]
        raise ScriptError(f"python -m {module} {arguments[0]} failed: {last}")
    return _Ran(output, time.perf_counter() - begin_s, peak.nbytes)


def _communicate(process: subprocess.Popen[str]) -> tuple[str, str]:
    try:
        return process.communicate()
    except BaseException:
        process.terminate()
        raise


def _expected(model: Model, archive: Archive) -> Rows:
    """Paddle's probabilities of the example pictures."""
    crops = photographs(model, EXAMPLES)
    (rows,) = paddle_answers(archive, model, [Batch(tuple(range(1, len(crops) + 1)), np.stack(crops))])
    return rows


def _check_answers(model: Model, url: str, expected: Rows) -> float:
    """The largest difference of what the SDK gets from Paddle's own; VerificationError if it is too large.

    Images are asked one by one and in the largest batch of the load test, preprocessed by the server and here.
    """
    paths = sorted(EXAMPLES.glob("*.jpg"))
    places = [place % len(paths) for place in range(max(BATCH_SIZES))]
    worst = 0.0
    sides: Sequence[Literal["server", "client"]] = ("server", "client")
    for preprocess in sides:
        with Classifier(url, model.name, preprocess=preprocess, timeout_s=_REQUEST_TIMEOUT_S) as classifier:
            single = np.concatenate([classifier.probabilities([path]) for path in paths])
            batch = classifier.probabilities([paths[place] for place in places])
        worst = max(worst, float(np.abs(single - expected).max()), float(np.abs(batch - expected[places]).max()))
    if worst > tolerance(model):
        raise VerificationError(f"{model.name}: the server's answers differ from Paddle's by {worst:.1e}")
    return worst


def _load_test(model: Model, url: str, timing: Timing, folder: Path) -> dict[int, Latency]:
    _run(
        "loadtest.sweep",
        *("--url", url, "--models", model.name, "--users", 1, "--batch-sizes", ",".join(map(str, BATCH_SIZES))),
        *(
            "--warm-up",
            timing.warm_up_s,
            "--duration",
            timing.duration_s / 3,
            "--max-windows",
            3,
            "--timeout",
            _REQUEST_TIMEOUT_S,
        ),
        *("--out", folder),
    )
    cells = Results.read(folder / FILE).cells
    if failures := sum(cell.failures for cell in cells):
        raise ScriptError(f"{model.name}: {failures} requests of the load test failed")
    return {
        cell.batch_size: Latency(
            requests=cell.requests,
            avg_ms=cell.latency_ms.avg,
            p50_ms=cell.latency_ms.p50,
            images_per_s=cell.images_per_s,
        )
        for cell in cells
        if cell.latency_ms
    }
