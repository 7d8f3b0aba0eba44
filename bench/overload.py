"""What happens when more is asked of a server than it can do."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

from bench import prepared
from bench.models import repository
from bench.open_loop import ANSWERED, REFUSED, Outcome, Sender
from bench.pacing import Duration
from bench.pictures import photograph
from bench.table import Table, figure
from loadtest.samples import percentiles
from scripts.embedded import EmbeddedServer
from tritonclas import ModelServer, zoo

MODEL = "EfficientNetB0"
#: Of what the server can do.
FACTORS = (0.7, 1.5, 3.0)
DURATION_S = 10.0
CAPACITY = Duration(1.0, 4.0)
UNLOADED_REQUESTS = 100
#: As fast as without load again: so many requests one after another, none slower than so many times the usual.
RECOVERED, _IN_A_ROW = 1.5, 3
_RECOVERY_LIMIT_S = 60.0
_COUNTED_AFTER_S = 0.1

_COLUMNS = (
    "asked, of the capacity",
    "sent",
    "answered",
    "refused",
    "failed",
    "answered/s",
    "answered: p50, ms",
    "p99",
    "bound",
    "refused: p50, ms",
    "p99",
    "decoded in vain",
    "recovered after, ms",
    "sender's CPU",
)
_NOTE = """\
{model}, one JPEG of 500x375 a request, at random times for {seconds:g} s, through gRPC, from the server's own {cores}
cores. Capacity: {capacity} images/s, what {clients} clients reach who wait for their answers. Without load the p50 is
{unloaded} ms. Times count from when a request was due. The bound is what a full queue of {queue} takes at the rate that
was answered; there is one before the preprocessing and one before the network. In vain: pictures that were decoded, and
refused afterwards. Recovered: when, after the last request
of the load, the first of {in_a_row} in a row was sent that took at most {recovered:g} times the unloaded p50.
{unsent} 99 % were sent within {late} ms of when they were due."""


@dataclass(frozen=True)
class _Round:
    factor: float
    outcome: Outcome
    in_vain: int
    recovered_ms: float


def overload() -> Iterator[Table]:
    """Requests at random times, whose senders wait for nothing, below the capacity and above."""
    image = photograph(500, 375)
    clients = 2 * (os.cpu_count() or 1)
    with EmbeddedServer([MODEL], repository(MODEL)) as server, Sender(server.url, MODEL, image) as sender:
        capacity = prepared.pictures(server.ports.http, MODEL, [image]).pace(clients, CAPACITY).per_s
        unloaded_ms = statistics.median(sender.ask()[1] for _ in range(UNLOADED_REQUESTS))
        queue = queue_size(server.url, MODEL)
        rounds = [_round(server.url, sender, factor, capacity, unloaded_ms) for factor in FACTORS]
    unsent = sum(each.outcome.unsent for each in rounds)
    (late_ms,) = percentiles([late_ms for each in rounds for late_ms in each.outcome.late_ms], (99,))
    note = _NOTE.format(
        model=MODEL,
        seconds=DURATION_S,
        cores=os.cpu_count(),
        capacity=figure(capacity),
        clients=clients,
        unloaded=figure(unloaded_ms),
        queue=queue,
        in_a_row=_IN_A_ROW,
        recovered=RECOVERED,
        late=figure(late_ms),
        unsent=f"{unsent} requests weren't sent, since too many were under way." if unsent else "All were sent.",
    )
    yield Table("Overload", _COLUMNS, tuple(_row(each, queue) for each in rounds), note)


def queue_size(url: str, model: str) -> int:
    """How many requests may wait for the network."""
    with ModelServer(url) as server:
        config = server.config(zoo.find(model).network_name)
    return int(config["dynamic_batching"]["default_queue_policy"]["max_queue_size"])


def decoded_in_vain(url: str, model: str) -> int:
    """How many pictures have been preprocessed up to now without an answer of the network; asked of an idle server."""
    served, before = zoo.find(model), -1
    with ModelServer(url) as server:
        while True:  # Triton counts a request a moment after it has answered
            successes = {each.name: each.successes for each in server.statistics()}
            in_vain = successes[served.preprocess_name] - successes[served.network_name]
            if in_vain == before:
                return in_vain
            before = in_vain
            time.sleep(_COUNTED_AFTER_S)


def _round(url: str, sender: Sender, factor: float, capacity: float, unloaded_ms: float) -> _Round:
    before = decoded_in_vain(url, MODEL)
    sending = sender.send(factor * capacity, DURATION_S)
    after_ms = recovered_ms(sender, RECOVERED * unloaded_ms)
    outcome = sending.wait()
    return _Round(factor, outcome, decoded_in_vain(url, MODEL) - before, after_ms)


def recovered_ms(sender: Sender, bound_ms: float) -> float:
    """Milliseconds from now until requests are answered as soon as without load; infinite if they never are."""
    begin_s, since_s, fast = time.perf_counter(), 0.0, 0
    while time.perf_counter() - begin_s < _RECOVERY_LIMIT_S:
        sent_s = time.perf_counter() - begin_s
        how, taken_ms = sender.ask()
        if how != ANSWERED or taken_ms > bound_ms:
            fast = 0
            continue
        since_s = since_s if fast else sent_s
        fast += 1
        if fast == _IN_A_ROW:
            return 1000 * since_s
    return float("inf")


def _row(each: _Round, queue: int) -> tuple[str, ...]:
    outcome = each.outcome
    answered, refused = outcome.ended(ANSWERED), outcome.ended(REFUSED)
    answered_per_s = len(answered) / outcome.answering_s if answered else 0.0
    return (
        f"{each.factor:g}",
        f"{sum(map(len, outcome.taken_ms.values())):,}",
        f"{len(answered):,}",
        f"{len(refused):,}",
        f"{outcome.failed:,}",
        figure(answered_per_s),
        *_percentiles(answered),
        figure(1000 * queue / answered_per_s) if answered else "",
        *_percentiles(refused),
        f"{each.in_vain:,}",
        figure(each.recovered_ms),
        f"{outcome.cpu:.0%}",
    )


def _percentiles(times_ms: list[float]) -> tuple[str, ...]:
    return tuple(map(figure, percentiles(times_ms, (50, 99)))) or ("", "")
