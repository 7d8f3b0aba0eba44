"""A long time under a steady load: memory, descriptors and latency stay as they are."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from chaos.load import MODEL, Asking, Load
from chaos.trial import Promise, Trial
from chaos.vitals import Vitals, growth_per_min, watched
from loadtest.samples import percentiles
from scripts.embedded import EmbeddedServer
from tritonclas import Classifier

DURATION_S, SHORT_S = 600.0, 15.0
#: Calls a second, a quarter of what two cores can do, and a new client for each so many seconds.
PER_S, CLIENT_S = 50.0, 5.0
#: Growth over an hour that would be seen after a day: 1 MB a minute is 1.4 GB a day.
_MB_PER_MIN, _SHORT_MB_PER_MIN = 1.0, 60.0


def soak(repository: Path, *, short: bool = False) -> Iterator[Trial]:
    """An open loop through one client that stays, beside clients that come and go."""
    duration_s = SHORT_S if short else DURATION_S
    every_s = duration_s / 100
    bound = _SHORT_MB_PER_MIN if short else _MB_PER_MIN
    with (
        EmbeddedServer([MODEL], repository) as server,
        Classifier(server.url, MODEL) as classifier,
        watched(server.process.pid, every_s) as of_server,
        watched(os.getpid(), every_s, alone=True) as of_client,
    ):
        load = Load(Asking(classifier), workers=16, per_s=PER_S)
        begin_s = time.monotonic()
        with load:
            while time.monotonic() < begin_s + duration_s:
                with Classifier(server.url, MODEL, shared_memory=True) as visitor:
                    Asking(visitor)()
                time.sleep(min(CLIENT_S, duration_s / 10))
    thirds = [
        load.times_ms(begin_s + part * duration_s / 3, begin_s + (part + 1) * duration_s / 3) for part in range(3)
    ]
    first_p99, last_p99 = (percentiles(thirds[part], (99,))[0] for part in (0, 2))
    sides = (_Side("server", of_server), _Side("client", of_client))
    yield Trial(
        f"{duration_s / 60:.2g} minutes of steady load",
        f"{PER_S:g} calls/s at random times through one client; every {min(CLIENT_S, duration_s / 10):g} s another "
        "client comes and goes",
        load.ended,
        expected=(),
        lost=load.lost,
        recovery_ms=None,
        promises=(
            *(promise for side in sides for promise in side.promises(bound)),
            Promise.at_most(f"p99 of the last third (of the first: {first_p99:.1f} ms)", last_p99, 1.5 * first_p99 + 5),
        ),
    )


@dataclass(frozen=True)
class _Side:
    name: str
    seen: Sequence[Vitals]

    def promises(self, bound: float) -> Iterator[Promise]:
        """Of the last two thirds: the first warms up."""
        warm = self.seen[len(self.seen) // 3 :]
        growth = growth_per_min(warm) / 1e6
        mean = sum(each.memory for each in warm) / len(warm) / 1e6
        yield Promise.at_most(f"memory of the {self.name} ({mean:.0f} MB), growth a minute", growth, bound, "MB")
        before, after = (max(each.descriptors for each in part) for part in _halves(warm))
        seen = f"{before}, then {after}"
        yield Promise(f"descriptors of the {self.name}, most in the halves of that time", seen, after <= before + 3)


def _halves(seen: Sequence[Vitals]) -> tuple[Sequence[Vitals], Sequence[Vitals]]:
    return seen[: len(seen) // 2], seen[len(seen) // 2 :]
