"""Two servers behind one client: one is killed and comes back, then the other is told to end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from chaos.load import MODEL, Asking, Load
from chaos.replica import Replica
from chaos.trial import Promise, Trial
from scripts.embedded import EmbeddedServer
from tritonclas import Classifier, ModelServer

#: Calls a second, a fraction of what one server on two cores can do, and threads enough for those that have to wait.
PER_S = 30.0
WORKERS = 32
#: Once a server is back, the client finds it within its longest pause between connections (1 s), and some.
_FOUND_WITHIN_S = 10.0


def replicas(repository: Path, *, short: bool = False) -> Iterator[Trial]:
    """Kill, restart and drain under an open loop of calls."""
    steady_s = 0.4 if short else 5.0
    with (
        Replica(EmbeddedServer([MODEL], repository)) as first,
        Replica(EmbeddedServer([MODEL], repository)) as second,
        Classifier([first.url, second.url], MODEL) as classifier,
        Load(Asking(classifier), workers=WORKERS, per_s=PER_S) as load,
    ):
        time.sleep(steady_s)
        killed_s = time.monotonic()
        first.kill()
        time.sleep(steady_s)
        restart_s = first.start()
        found = _answers(first)
        time.sleep(steady_s)
        drain_s = second.drain()
        time.sleep(steady_s)
    slowest_ms = max(load.times_ms(killed_s), default=float("inf"))
    yield Trial(
        "a server of two killed, restarted, the other drained",
        f"kill -9, restart at the same port ({restart_s:.1f} s until ready), SIGTERM to the other ({drain_s:.1f} s); "
        f"{PER_S:g} calls/s at random times through one `Classifier`",
        load.ended,
        expected=(),
        lost=load.lost,
        recovery_ms=load.answered_ms_after(killed_s),
        promises=(
            Promise("the restarted server gets calls again", "yes" if found else "no", found),
            Promise.at_most("the slowest call after the kill", slowest_ms, 5000),
            Promise.at_most(
                "until the first call made after the kill is answered", load.answered_ms_after(killed_s), 2000
            ),
        ),
    )


def _answers(replica: Replica) -> bool:
    """Whether the client's calls get there."""
    with ModelServer(replica.url) as server:
        begin_s = time.monotonic()
        while time.monotonic() < begin_s + _FOUND_WITHIN_S:
            if server.statistics(MODEL)[0].inferences > 3:
                return True
            time.sleep(0.05)
    return False
