"""What a server must spend on a picture before anything is computed: Triton and an ensemble whose steps do nothing."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

from bench import prepared, strategies
from bench.ensemble import MODEL, SIZE, serving
from bench.inprocess import InProcess
from bench.pacing import Duration
from bench.pictures import photograph
from bench.processor_time import cpu_s
from bench.table import Table, figure, spread
from scripts import render
from scripts.embedded import EmbeddedServer
from tritonclas.served import Served

CLIENTS = 4
ROUNDS = 5
DURATION = Duration(0.5, 2.0)
_TRIAL = Duration(0.3, 1.0)
_IDLE = Served(name="Idle", crop=224, resize_short=256, interpolation="cubic", max_batch_size=32)

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
_NOTE = f"""\
One JPEG a request, {CLIENTS} clients; medians of {ROUNDS} rounds, least and most in brackets. The two steps that
do nothing hand on as many bytes as real ones. What they cost is what HTTP, Triton's scheduling and two hops need with
their code in the processor's caches; between two runs of a network, which empties these, it is more. No server that is
asked so can do more pictures a second than the bound says, however well it decodes and computes."""


def floor() -> Iterator[Table]:
    """Processor time of a picture in one process, of a picture that nothing is done with, and what follows."""
    with serving(MODEL) as served, InProcess("images", served.model, served.network) as reference:
        best = reference.best(strategies.throughput(strategies.cores()), _TRIAL)
        computed_ms = [1000 * strategies.cores() * reference.image_s(best, DURATION) for _ in range(ROUNDS)]
    rounds = list(_idle())
    server_ms, client_ms = ([each[side] for each in rounds] for side in (0, 1))
    spent_ms = statistics.median(server_ms) + statistics.median(client_ms)
    bound = statistics.median(computed_ms) / (statistics.median(computed_ms) + spent_ms)
    rows = (
        (f"{MODEL}, decoded and run in one process", spread(computed_ms)),
        ("an ensemble that does nothing: the server", spread(server_ms)),
        ("· and who asks it", spread(client_ms)),
        ("**bound of ensemble / in one process**", figure(bound)),
    )
    yield Table("Milliseconds of a core for a picture", ("", "ms"), rows, _NOTE)


def _idle() -> Iterator[tuple[float, float]]:
    """Milliseconds of the server and of the client, a request, in each round."""
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
            request = prepared.pictures(server.ports.http, _IDLE.name, [photograph(*SIZE)])
            for _ in range(ROUNDS):
                before_s = cpu_s(server.process.pid)
                pace = request.pace(CLIENTS, DURATION)
                requests = pace.per_s * (DURATION.warm_up_s + DURATION.measured_s)
                yield 1000 * (cpu_s(server.process.pid) - before_s) / requests, 1000 * pace.cpu_s / requests
