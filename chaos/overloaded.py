"""Three times as many requests as the server can answer, from senders who don't wait for each other."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator
from pathlib import Path

from bench import prepared
from bench.open_loop import REFUSED, Sender
from bench.overload import RECOVERED, decoded_in_vain, queue_size, recovered_ms
from bench.pacing import Duration
from bench.pictures import photograph
from bench.table import figure
from chaos.load import ANSWERED, MODEL
from chaos.trial import Promise, Trial
from loadtest.samples import percentiles
from scripts.embedded import EmbeddedServer

FACTOR = 3.0
_UNLOADED = 100
#: Before the preprocessing and before the network; each has as many in work, and in reserve, as there are cores.
_QUEUES = 2
#: Per cent of what is refused; a busy machine makes some wait longer than pictures give way.
_MOST_IN_VAIN = 10.0


def overloaded(repository: Path, *, short: bool = False) -> Iterator[Trial]:
    """Refused at once, or answered within what the queues hold, and as fast as before when it is over."""
    image, duration_s = photograph(500, 375), 2.0 if short else 30.0
    capacity_for = Duration(0.3, 1.0) if short else Duration(1.0, 4.0)
    with EmbeddedServer([MODEL], repository) as server, Sender(server.url, MODEL, image) as sender:
        requests = prepared.pictures(server.ports.http, MODEL, [image])
        capacity = requests.pace(2 * (os.cpu_count() or 1), capacity_for).per_s
        unloaded_ms = [sender.ask()[1] for _ in range(_UNLOADED)]
        queued = _QUEUES * (queue_size(server.url, MODEL) + 2 * (os.cpu_count() or 1))
        before = decoded_in_vain(server.url, MODEL)
        sending = sender.send(FACTOR * capacity, duration_s)
        recovery_ms = recovered_ms(sender, RECOVERED * statistics.median(unloaded_ms))
        outcome = sending.wait()
        in_vain = decoded_in_vain(server.url, MODEL) - before
    answered, refused = outcome.ended(ANSWERED), outcome.ended(REFUSED)
    queue_ms = 1000 * queued * outcome.answering_s / max(1, len(answered))
    (usual_p99,), (late_p99,) = percentiles(unloaded_ms, (99,)), percentiles(outcome.late_ms, (99,))
    yield Trial(
        f"{FACTOR:g} times the capacity",
        f"{figure(FACTOR * capacity)} requests/s at random times for {duration_s:g} s, and {figure(capacity)} are what "
        "it can answer",
        {how: len(times_ms) for how, times_ms in outcome.taken_ms.items()},
        expected=(REFUSED,),
        lost=0,
        recovery_ms=recovery_ms,
        promises=(
            Promise("some are refused", f"{len(refused):,}", bool(refused)),
            Promise.at_most("refused after decoding", 100 * in_vain / max(1, len(refused)), _MOST_IN_VAIN, "%"),
            Promise.at_most(
                "refused, median, a quarter of what full queues take", _percentile(refused, 50), queue_ms / 4
            ),
            Promise.at_most("refused, p99, half of it", _percentile(refused, 99), queue_ms / 2),
            Promise.at_most(
                f"answered, p99, twice the unloaded one ({usual_p99:.0f} ms), what full queues take ({queue_ms:.0f}), "
                f"and how late it was sent ({late_p99:.0f})",
                _percentile(answered, 99),
                2 * usual_p99 + queue_ms + late_p99,
            ),
            Promise.at_most("as fast again as without load", recovery_ms, 2000),
            Promise.none("requests that couldn't be sent", outcome.unsent),
        ),
    )


def _percentile(times_ms: list[float], which: float) -> float:
    return next(iter(percentiles(times_ms, (which,))), 0.0)
