"""What a server must spend on a picture before anything is computed: Triton and an ensemble whose steps do nothing."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

import numpy as np

from bench import prepared, strategies
from bench.ensemble import MODEL, SIZE, Served, serving
from bench.inprocess import InProcess
from bench.pacing import Duration
from bench.pictures import photograph
from bench.prepared import Prepared
from bench.processor_time import cpu_s
from bench.strategies import Strategy
from bench.table import Table, figure, spread
from scripts import render
from scripts.embedded import EmbeddedServer
from tritonclas.served import Served as Row

CLIENTS = 4
ROUNDS = 5
DURATION = Duration(0.5, 3.0)
_TRIAL = Duration(0.3, 1.0)
_IDLE = Row(name="Idle", crop=224, resize_short=256, interpolation="cubic", max_batch_size=32)

#: A step that answers with as many zeros as its output has, whatever it is asked.
_STEP = """\
    import json

    import numpy as np
    import triton_python_backend_utils as pb_utils


    class TritonPythonModel:
        def initialize(self, args):
            output = json.loads(args["model_config"])["output"][0]
            kind = np.uint8 if output["data_type"] == "TYPE_UINT8" else np.float32
            shape = [int(size) for size in output["dims"]]
            self._answer = pb_utils.Tensor(output["name"], np.zeros((1, *shape), kind))

        def execute(self, requests):
            return [pb_utils.InferenceResponse([self._answer]) for _ in requests]
"""
_COLUMNS = (
    "",
    "in one process",
    "asked all the time: the server",
    "who asks",
    "between two runs: the server",
    "who asks",
    "bound of ours / in one process",
)
_NOTE = f"""\
One request a picture; medians of {ROUNDS} rounds, least and most in brackets. Steps that do nothing hand on as many
bytes as real ones. Asked *all the time*, by {CLIENTS} clients, Triton has its code in the processor's caches. *Between
two runs* of a network, which empties these, it hasn't: the pictures are computed in one process, and after each one
Triton is asked to do nothing. No server that is asked so can do more pictures a second than the bound says, however
well it decodes and computes."""
_LATENCY_NOTE = """\
Medians. The picture is computed in one process, on all cores, and then Triton is asked to do nothing."""


def floor() -> Iterator[Table]:
    """What a picture costs in one process, what asking for nothing costs, and what follows."""
    with serving(MODEL) as served, _idle() as idle:
        yield Table("Milliseconds of a core for a picture", _COLUMNS, tuple(_costs(served, idle)), _NOTE)
        with InProcess("images", served.model, served.network) as reference:
            best = reference.best(strategies.latency(strategies.cores()), _TRIAL)
            computed_ms = [reference.pace(best, DURATION).p50_ms for _ in range(ROUNDS)]
        alone = replace(best, workers=1, threads=strategies.cores(), own=True, spinning=False)
        asked_ms = [idle.between("images", served.network, alone).p50_ms for _ in range(ROUNDS)]
    bound = 1 + statistics.median(asked_ms) / statistics.median(computed_ms)
    columns = ("", "in one process", "asked for nothing", "bound of ours / in one process")
    row = (f"{MODEL}, JPEG", spread(computed_ms), spread(asked_ms), figure(bound))
    yield Table("Milliseconds for a picture, one at a time", columns, (row,), _LATENCY_NOTE)


def _costs(served: Served, idle: _Idle) -> Iterator[tuple[str, ...]]:
    for kind, what in (("images", f"{MODEL}, JPEG"), ("crops", f"{MODEL}_net, pixels")):
        with InProcess(kind, served.model, served.network) as reference:
            best = reference.best(strategies.throughput(strategies.cores()), _TRIAL)
            single = replace(best, workers=strategies.cores(), threads=1, batch=1, own=True, spinning=False)
            rounds = [
                (
                    1000 * strategies.cores() * reference.image_s(best, DURATION),
                    *idle.busy(kind),
                    *idle.between(kind, served.network, single)[:2],
                )
                for _ in range(ROUNDS)
            ]
        columns = [list(values) for values in zip(*rounds, strict=True)]
        computed_ms, _, _, server_ms, client_ms = map(statistics.median, columns)
        yield (what, *map(spread, columns), figure(computed_ms / (computed_ms + server_ms + client_ms)))


class _Cost(NamedTuple):
    """Milliseconds of a core of a request; and until half of the requests were answered."""

    server_ms: float
    client_ms: float
    p50_ms: float


@dataclass(frozen=True)
class _Idle:
    """A server whose models do nothing, and what it is asked: `images` of the ensemble, `crops` of the network."""

    pid: int
    requests: dict[str, Prepared]

    def busy(self, kind: str) -> tuple[float, float]:
        """Milliseconds of the server's and of the client's core, where nothing else is done."""
        begin_s = cpu_s(self.pid)
        pace = self.requests[kind].pace(CLIENTS, DURATION)
        requests = pace.per_s * (DURATION.warm_up_s + DURATION.measured_s)
        return 1000 * (cpu_s(self.pid) - begin_s) / requests, 1000 * pace.cpu_s / requests

    def between(self, kind: str, network: Path, strategy: Strategy) -> _Cost:
        """Of a request after each run of the network."""
        request = self.requests[kind]
        arguments = (kind, MODEL, network, json.dumps(asdict(strategy)), request.port, DURATION.measured_s)
        command = [sys.executable, "-m", "bench.interleaved", *map(str, arguments)]
        begin_s = cpu_s(self.pid)
        done = subprocess.run(command, input=request.request, stdout=subprocess.PIPE, check=True)
        found = json.loads(done.stdout)
        server_ms = 1000 * (cpu_s(self.pid) - begin_s) / found["requests"]
        return _Cost(server_ms, found["client_ms"], found["p50_ms"])


@contextmanager
def _idle() -> Iterator[_Idle]:
    with tempfile.TemporaryDirectory(prefix="tritonclas-bench-") as folder:
        models, backends = Path(folder, "models"), Path(folder, "backends")
        render.write(render.render([_IDLE]), models)
        for name in (_IDLE.name, _IDLE.network_name, _IDLE.preprocess_name):
            (models / name / "1").mkdir(parents=True)
        (models / _IDLE.network_name / render.LABELS_FILE).write_text("nothing\n" * _IDLE.classes)
        for backend in ("imagenet_preprocess", "onnxruntime"):
            (backends / backend).mkdir(parents=True)
            (backends / backend / "model.py").write_text(dedent(_STEP))
        with EmbeddedServer([_IDLE.name], models, backends=backends) as server:
            pixels = np.zeros((1, _IDLE.crop, _IDLE.crop, 3), np.uint8)
            requests = {
                "images": prepared.pictures(server.ports.http, _IDLE.name, [photograph(*SIZE)]),
                "crops": prepared.crops(server.ports.http, _IDLE.network_name, pixels),
            }
            yield _Idle(server.process.pid, requests)
