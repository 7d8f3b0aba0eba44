"""How the cost grows: with the clients that ask at once, with pictures, with batches, and with the network."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench import prepared
from bench.models import repository
from bench.pacing import Duration, Pace
from bench.pictures import photograph
from bench.processor_time import cpu_s
from bench.table import Table, figure
from loadtest.serverview import Parts, ServerView, seen
from scripts.embedded import EmbeddedServer
from tritonclas import ModelServer, zoo

MODEL = "EfficientNetB0"
CLIENTS = (1, 2, 4, 8, 16, 32, 64)
PICTURES = ((500, 375), (1000, 750), (2000, 1500), (4000, 3000))
BATCHES = (1, 2, 4, 8, 16)
#: From the cheapest to the dearest that answers often enough in the time.
MODELS = (
    "EfficientNetLite0",
    "EfficientNetB0_small",
    "EfficientNetB0",
    "EfficientNetB1",
    "EfficientNetB2",
    "EfficientNetB3",
    "EfficientNetB4",
    "ResNeXt101_32x8d_wsl",
)
#: Seconds: for percentiles, and for averages.
LONG_S, SHORT_S = 6.0, 3.0

_COSTS = (
    "1 client: p50, ms",
    "preprocessing",
    "network",
    "images/s",
    "{clients} clients: images/s",
    "CPU, ms an image",
)
_CPU = "CPU is what all processes of the server spent on an image on their {cores} cores."
_NOTE = f"""\
Preprocessing and network are the server's own averages for a request of one client, without waiting in queues. {_CPU}
It is that with {{clients}} clients."""


def by_clients() -> Iterator[Table]:
    """Throughput and latency as more clients ask at once."""
    images = [photograph(500, 375)]
    columns = ("clients", "images/s", "of the best", "p50, ms", "p99, ms", "CPU, ms an image")
    with EmbeddedServer([MODEL], repository(MODEL)) as server:
        found = {clients: _cost(server, MODEL, images, clients=clients, measured_s=LONG_S) for clients in CLIENTS}
    best = max(each.pace.per_s for each in found.values())
    rows = tuple(_clients_row(clients, each, best) for clients, each in found.items())
    yield Table(f"{MODEL}, one JPEG of 500x375 a request", columns, rows, _CPU.format(cores=os.cpu_count()))


def _clients_row(clients: int, cost: _Cost, best: float) -> tuple[str, ...]:
    pace = cost.pace
    return (
        str(clients),
        figure(pace.per_s),
        f"{pace.per_s / best:.0%}",
        figure(pace.p50_ms),
        figure(pace.p99_ms),
        figure(cost.cpu_ms),
    )


def by_work() -> Iterator[Table]:
    """What an image costs as pictures, batches and networks grow."""
    note = _NOTE.format(cores=os.cpu_count(), clients=_many())
    columns = tuple(column.format(clients=_many()) for column in _COSTS)
    with EmbeddedServer([MODEL], repository(MODEL)) as server:
        pictures = {f"{width}x{height}": [photograph(width, height)] for width, height in PICTURES}
        rows = tuple(_row(server, MODEL, name, images) for name, images in pictures.items())
        yield Table(f"Pictures: {MODEL}, one JPEG a request", ("picture", *columns), rows, note)
        rows = tuple(_row(server, MODEL, str(batch), [photograph(500, 375)] * batch) for batch in BATCHES)
        yield Table(f"Batches: {MODEL}, JPEGs of 500x375", ("batch", *columns), rows)
    rows = tuple(_model_row(name) for name in MODELS)
    yield Table("Models: one JPEG of 500x375 a request", ("model", "GFLOPs", *columns), rows)


def _model_row(name: str) -> tuple[str, ...]:
    with EmbeddedServer([name], repository(name)) as server:
        first, *others = _row(server, name, name, [photograph(500, 375)])
    return (first, figure(zoo.find(name).gflops), *others)


def _many() -> int:
    """Clients enough to keep the cores busy, and few enough not to queue for long."""
    return 2 * (os.cpu_count() or 1)


def _row(server: EmbeddedServer, model: str, name: str, images: Sequence[bytes]) -> tuple[str, ...]:
    alone = _cost(server, model, images, clients=1, measured_s=SHORT_S)
    busy = _cost(server, model, images, clients=_many(), measured_s=SHORT_S)
    return (
        name,
        figure(alone.pace.p50_ms),
        figure(alone.preprocessing_ms),
        figure(alone.network_ms),
        figure(alone.pace.per_s * len(images)),
        figure(busy.pace.per_s * len(images)),
        figure(busy.cpu_ms),
    )


@dataclass(frozen=True)
class _Cost:
    """`preprocessing_ms` and `network_ms` of a request, `cpu_ms` of an image."""

    pace: Pace
    preprocessing_ms: float
    network_ms: float
    cpu_ms: float


def _cost(server: EmbeddedServer, model: str, images: Sequence[bytes], *, clients: int, measured_s: float) -> _Cost:
    row, requests = zoo.find(model), prepared.pictures(server.ports.http, model, images)
    with ModelServer(server.url) as asked:
        view = ServerView(asked)
        begin, begin_cpu_s = view.snapshot(), cpu_s(server.process.pid)
        pace = requests.pace(clients, Duration(1.0, measured_s, least=2 * clients))
        end, end_cpu_s = view.snapshot(), cpu_s(server.process.pid)
    found = seen(begin, end, Parts(model, row.network_name, row.preprocess_name), view.ensembles)
    assert found is not None
    steps = found.steps_ms
    network_ms = steps["compute_input"] + steps["compute_infer"] + steps["compute_output"]
    return _Cost(
        pace, steps["preprocess"], network_ms, 1000 * (end_cpu_s - begin_cpu_s) / (found.requests * len(images))
    )
