"""What a server must spend on a picture before anything is computed: Triton and an ensemble whose steps do nothing.

Its rows are named as the comparisons that they bound.
"""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench import prepared, rows, strategies
from bench.ensemble import BATCH, Served, serving
from bench.inprocess import InProcess
from bench.pacing import Duration
from bench.pictures import photograph
from bench.prepared import Prepared
from bench.processor_time import cpu_s
from bench.rows import MODEL, SIZE
from bench.strategies import Strategy
from bench.table import Table, figure, spread
from scripts import in_process, render
from scripts.embedded import EmbeddedServer
from tritonclas.served import Served as Row

ROUNDS = 5
DURATION = Duration(0.5, 3.0)
_TRIAL = Duration(0.3, 1.0)
_IDLE = Row(name="Idle", crop=224, resize_short=256, interpolation="cubic", max_batch_size=32)

_NOTHING = Path(__file__).with_name("nothing.c")
#: The backends' outputs: name, TRITONSERVER_DataType, a picture's sizes, bytes of a number.
_OUTPUTS = {
    "imagenet_preprocess": ("pixels", 2, (_IDLE.crop, _IDLE.crop, 3), 1),
    "onnxruntime": ("probabilities", 11, (_IDLE.classes,), 4),
}
_BATCHES = (1, BATCH)
_COLUMNS = (
    "",
    "in one process",
    "asked all the time: the server",
    "who asks",
    "between two runs: the server",
    "who asks",
    "bound of ours / in one process",
)
#: The column of a row, in all tables here, with what can't be done better.
BOUND = -1
_NOTE = f"""\
Medians of {ROUNDS} rounds, least and most in brackets; of a request for a batch, a picture has its part. Steps that do
nothing (`bench/nothing.c`) hand on as many bytes as real ones. Asked *all the time*, Triton has its code in the
processor's caches. *Between two runs* of a network, which empties these, it hasn't: the pictures are computed in one
process, and after each batch Triton is asked to do nothing with one. No server that is asked so can do more pictures a
second than the bound says, however well it decodes and computes."""
_LATENCY_NOTE = """\
Medians. The picture is computed in one process, on all cores, and then Triton is asked to do nothing."""


def floor() -> Iterator[Table]:
    """What a picture costs in one process, what asking for nothing costs, and what follows."""
    with idle() as asked, serving(MODEL) as served:
        yield Table("Milliseconds of a core for a picture", _COLUMNS, tuple(_costs(served, asked)), _NOTE)
        with InProcess("images", served.model, served.network) as reference:
            best = reference.best(strategies.latency(strategies.cores()), _TRIAL)
            computed_ms = [reference.pace(best, DURATION).p50_ms for _ in range(ROUNDS)]
        alone = replace(best, workers=1, threads=strategies.cores(), own=True, spinning=False)
        asked_ms = [asked.between("images", 1, served.network, alone).p50_ms for _ in range(ROUNDS)]
    bound = 1 + statistics.median(asked_ms) / statistics.median(computed_ms)
    columns = ("", "in one process", "asked for nothing", "bound of ours / in one process")
    row = (rows.one_at_a_time(rows.pictures()), spread(computed_ms), spread(asked_ms), figure(bound))
    yield Table("Milliseconds for a picture, one at a time", columns, (row,), _LATENCY_NOTE)


def _costs(served: Served, asked: Idle) -> Iterator[tuple[str, ...]]:
    for kind, what in (("images", rows.pictures()), ("crops", rows.crops())):
        with InProcess(kind, served.model, served.network) as reference:
            best = reference.best(strategies.throughput(strategies.cores()), _TRIAL)
            single = replace(best, workers=strategies.cores(), threads=1, batch=1, own=True, spinning=False)
            for batch in _BATCHES:
                rounds = [
                    (
                        1000 * strategies.cores() * reference.image_s(best, DURATION),
                        *asked.busy(kind, batch),
                        *asked.between(kind, batch, served.network, single)[:2],
                    )
                    for _ in range(ROUNDS)
                ]
                columns = [list(values) for values in zip(*rounds, strict=True)]
                computed_ms, _, _, server_ms, client_ms = map(statistics.median, columns)
                bound = figure(computed_ms / (computed_ms + server_ms + client_ms))
                yield (rows.busy(what, batch), *map(spread, columns), bound)


class _Cost(NamedTuple):
    """Milliseconds of a core for each picture of a request; and until half of the requests were answered."""

    server_ms: float
    client_ms: float
    p50_ms: float


@dataclass(frozen=True)
class Idle:
    """A server whose models do nothing, and what it is asked, by `images` or `crops` and the batch's size."""

    pid: int
    requests: dict[tuple[str, int], Prepared]

    def busy(self, kind: str, batch: int) -> tuple[float, float]:
        """Milliseconds of the server's and of the client's core for a picture, where nothing else is done."""
        begin_s = cpu_s(self.pid)
        pace = self.requests[kind, batch].pace(rows.clients(batch), DURATION)
        pictures = batch * pace.per_s * (DURATION.warm_up_s + DURATION.measured_s)
        return 1000 * (cpu_s(self.pid) - begin_s) / pictures, 1000 * pace.cpu_s / pictures

    def between(self, kind: str, batch: int, network: Path, strategy: Strategy) -> _Cost:
        """Of a request after so many runs of the network as it has pictures."""
        request = self.requests[kind, batch]
        arguments = (kind, MODEL, network, json.dumps(asdict(strategy)), batch, request.port, DURATION.measured_s)
        command = [sys.executable, "-m", "bench.interleaved", *map(str, arguments)]
        begin_s = cpu_s(self.pid)
        done = subprocess.run(command, input=request.request, stdout=subprocess.PIPE, check=True)
        found = json.loads(done.stdout)
        server_ms = 1000 * (cpu_s(self.pid) - begin_s) / found["requests"]
        return _Cost(server_ms / batch, found["client_ms"] / batch, found["p50_ms"])


def _build(backend: str, library: Path) -> None:
    """The C backend that does nothing."""
    output, kind, shape, item_bytes = _OUTPUTS[backend]
    sizes, size_bytes = ",".join(map(str, shape)), math.prod(shape) * item_bytes
    options = [f"-DOUTPUT={json.dumps(output)}", f"-DTYPE={kind}", f"-DSHAPE={sizes}", f"-DBYTES={size_bytes}"]
    in_process.build([*options, f"-I{in_process.SOURCES}", str(_NOTHING)], library)


@contextmanager
def idle() -> Iterator[Idle]:
    """Triton with the model `Idle`, whose steps do nothing. NoHost without a C compiler."""
    with tempfile.TemporaryDirectory(prefix="tritonclas-bench-") as folder:
        models, backends = Path(folder, "models"), Path(folder, "backends")
        render.write(render.render([_IDLE]), models)
        for name in (_IDLE.name, _IDLE.network_name, _IDLE.preprocess_name):
            (models / name / "1").mkdir(parents=True)
        (models / _IDLE.network_name / render.LABELS_FILE).write_text("nothing\n" * _IDLE.classes)
        for backend in _OUTPUTS:
            (backends / backend).mkdir(parents=True)
            _build(backend, backends / backend / f"libtriton_{backend}.so")
        with EmbeddedServer([_IDLE.name], models, backends=backends) as server:
            requests = {}
            for batch in _BATCHES:
                pixels = np.zeros((batch, _IDLE.crop, _IDLE.crop, 3), np.uint8)
                files = [photograph(*SIZE)] * batch
                requests["images", batch] = prepared.pictures(server.ports.http, _IDLE.name, files)
                requests["crops", batch] = prepared.crops(server.ports.http, _IDLE.network_name, pixels)
            yield Idle(server.process.pid, requests)
