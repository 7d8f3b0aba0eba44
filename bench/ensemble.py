"""Triton's way from an encoded picture to probabilities, beside the same in one Python process on the same cores."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench import prepared, raw_export, rows, strategies
from bench.comparison import Comparison, in_turns
from bench.inprocess import InProcess
from bench.pacing import Duration, Pace
from bench.pictures import photograph
from bench.prepared import Prepared
from bench.rows import CLIENTS, MODEL, SIZE
from bench.strategies import Strategy
from scripts import processes
from scripts.embedded import EmbeddedServer
from scripts.fetch import fetch
from scripts.pipeline import populate
from scripts.versions import onnx_path
from tritonclas import zoo
from tritonclas.preprocess import Preprocessing

BATCH = 8
ROUNDS = 11
TRIAL = Duration(0.3, 1.0, least=2)

#: What is hoped for with single pictures, and how long a round must be: with slow models a few batches take seconds.
THROUGHPUT = {
    MODEL: (0.95, Duration(0.7, 2.0)),
    "EfficientNetB4": (0.95, Duration(0.7, 2.5)),
    "ResNeXt101_32x8d_wsl": (0.97, Duration(1.0, 3.0, least=5)),
}
LATENCY = (MODEL, "EfficientNetB4")
BOUND_OF_BATCHES = 0.95
NETWORK_BOUND = 0.97
LATENCY_BOUND = 1.10
#: How far probabilities may be apart: networks of random weights amplify rounding, which depends on the batch.
TOLERANCE = 2e-3
Array = NDArray[np.float32]


@dataclass(frozen=True)
class Served:
    """A running server, and the file of its network."""

    model: zoo.Model
    http: int
    network: Path

    def pictures(self, batch: int, size: tuple[int, int] = SIZE) -> Prepared:
        """A batch for the ensemble."""
        return prepared.pictures(self.http, self.model.name, [photograph(*size)] * batch)

    def crops(self, batch: int) -> Prepared:
        """A batch for the network alone."""
        preprocessing = Preprocessing(self.model.resize_short, self.model.crop, self.model.interpolation)
        crop = preprocessing(photograph(*SIZE))
        return prepared.crops(self.http, self.model.network_name, np.stack([crop] * batch))


@contextmanager
def serving(name: str, *, isolated: bool = False) -> Iterator[Served]:
    """The embedded server with a model of random weights."""
    model = zoo.find(name)
    with tempfile.TemporaryDirectory(prefix="tritonclas-bench-") as folder:
        populate(model, "synthetic", Path(folder))
        with EmbeddedServer([name], Path(folder), isolated=isolated) as server:
            yield Served(model, server.ports.http, onnx_path(name, Path(folder)))


def throughput() -> Iterator[Comparison]:
    """Pictures a second, single ones and in batches."""
    for name, (bound, duration) in THROUGHPUT.items():
        with serving(name) as served, InProcess("images", served.model, served.network) as reference:
            requests = [(served.pictures(1), bound), (served.pictures(BATCH), BOUND_OF_BATCHES)]
            yield from _beside(requests, reference, rows.pictures(name), duration)


def network() -> Iterator[Comparison]:
    """The network alone, which is given pixels."""
    with serving(MODEL) as served, InProcess("crops", served.model, served.network) as reference:
        requests = [(served.crops(1), NETWORK_BOUND), (served.crops(BATCH), NETWORK_BOUND)]
        yield from _beside(requests, reference, rows.crops(), THROUGHPUT[MODEL][1])


def _beside(
    requests: Sequence[tuple[Prepared, float]], reference: InProcess, what: str, duration: Duration
) -> Iterator[Comparison]:
    """Each request beside one process, which is measured once a round; aims count beside the fastest strategy."""
    references = reference.references(strategies.throughput(strategies.cores()), TRIAL)
    for request, _ in requests:
        _check(request, reference, references)
    sides = [partial(request.image_s, rows.clients(request.images), duration) for request, _ in requests]
    taken = in_turns(ROUNDS, *sides, *(partial(reference.image_s, each, duration) for each in references))
    for strategy, theirs in zip(references, taken[len(requests) :], strict=True):
        for (request, bound), ours in zip(requests, taken[: len(requests)], strict=True):
            name = rows.busy(what, request.images)
            aim = bound if strategy == references[0] else 0.0
            yield Comparison(name, f"in one process: {strategy}", ours, theirs, "least", aim)


def latency() -> Iterator[Comparison]:
    """One picture at a time: the median time of each round."""
    for name in LATENCY:
        with serving(name) as served, InProcess("images", served.model, served.network) as reference:
            request, duration = served.pictures(1), THROUGHPUT[name][1]
            references = reference.references(strategies.latency(strategies.cores()), TRIAL)
            _check(request, reference, references)
            ours, *taken = in_turns(
                ROUNDS,
                partial(_p50_s, partial(request.pace, 1, duration)),
                *(partial(_p50_s, partial(reference.pace, each, duration)) for each in references),
            )
            what = rows.one_at_a_time(rows.pictures(name))
            for strategy, theirs in zip(references, taken, strict=True):
                bound = LATENCY_BOUND if strategy == references[0] else 0.0
                yield Comparison(what, f"in one process: {strategy}", ours, theirs, "most", bound)


def _p50_s(pace: Callable[[], Pace]) -> float:
    return pace().p50_ms / 1000


def _check(request: Prepared, reference: InProcess, references: Sequence[Strategy]) -> None:
    """All answer the same, whosever graph they run, or nothing is measured."""
    answers = request.probabilities()
    for expected in map(reference.probabilities, references):
        for row in answers:
            np.testing.assert_allclose(row, expected, atol=TOLERANCE)


def camera() -> Iterator[Comparison]:
    """Photographs out of a camera, beside the pipeline that is written first: Pillow, numpy, paddle2onnx's file."""
    size, bound = (4000, 3000), 2.0
    duration, defaults = Duration(1.0, 2.5), Strategy(workers=CLIENTS, threads=0)
    with serving(MODEL) as served, tempfile.TemporaryDirectory(prefix="tritonclas-bench-") as folder:
        raw = Path(folder) / "raw.onnx"
        raw_export.write(fetch(served.model, "synthetic", Path(folder)), raw)
        with InProcess("pillow", served.model, raw, size) as reference:
            request = served.pictures(1, size)
            sides = partial(request.image_s, CLIENTS, duration), partial(reference.image_s, defaults, duration)
            ours, theirs = in_turns(ROUNDS, *sides)
    name = rows.busy(rows.pictures(MODEL, size), 1)
    other = f"in one process: Pillow, numpy, a session by default, {CLIENTS} threads"
    yield Comparison(name, other, ours, theirs, "least", bound)


def in_processes() -> Iterator[Comparison]:
    """The backends inside tritonserver, and as Triton's Python backend runs them."""
    duration = THROUGHPUT[MODEL][1]
    with serving(MODEL) as served, serving(MODEL, isolated=True) as isolated:
        for batch in (1, BATCH):
            sides = [each.pictures(batch) for each in (served, isolated)]
            ours, theirs = in_turns(ROUNDS, *(partial(each.image_s, rows.clients(batch), duration) for each in sides))
            what = f"{rows.busy(rows.pictures(), batch)}, inside tritonserver"
            yield Comparison(what, "in processes of their own (--isolated)", ours, theirs, "least", 0.0)


def busy_neighbour() -> Iterator[Comparison]:
    """With and without another process that keeps a core busy."""
    duration = THROUGHPUT[MODEL][1]
    with serving(MODEL) as served:
        request = served.pictures(1)

        def disturbed() -> float:
            neighbour = processes.start([sys.executable, "-c", "while True: pass"], os.environ)
            try:
                return request.image_s(CLIENTS, duration)
            finally:
                processes.stop(neighbour, grace_s=1)

        ours, theirs = in_turns(ROUNDS, disturbed, partial(request.image_s, CLIENTS, duration))
    name = f"{rows.busy(rows.pictures(), 1)}, beside a process that keeps a core busy"
    yield Comparison(name, "without that process", ours, theirs, "least", 0.45)
