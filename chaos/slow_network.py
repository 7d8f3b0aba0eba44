"""The network becomes slow, then swallows everything, between one client of two and the server."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from chaos.load import ANSWERED, MODEL, Asking, Load
from chaos.proxy import Proxy
from chaos.trial import Promise, Trial
from scripts.embedded import EmbeddedServer
from tritonclas import Classifier, DeadlineExceeded, ServerUnavailable

#: What a call may take beyond its deadline: threads must get the processor.
_LATE_MS = 250.0
#: A picture takes about 2 s.
_SLOW_BYTES_PER_S = 20_000.0
_DELAY_S = 0.02


def slow_network(repository: Path, *, short: bool = False) -> Iterator[Trial]:
    """Calls end with their deadlines, those of the other client go on, and all is well once the network is."""
    timeout_s, phase_s = (1.0, 1.1) if short else (1.0, 6.0)
    with (
        EmbeddedServer([MODEL], repository) as server,
        Proxy(server.ports.grpc) as network,
        Classifier(network.url, MODEL, timeout_s=timeout_s) as far,
        Classifier(server.url, MODEL) as near,
    ):
        ask_far, ask_near = Asking(far), Asking(near)
        with Load(ask_far, workers=3) as slow, Load(ask_near, workers=1) as other:
            network.delay_s = _DELAY_S
            slow.wait_for_answers(3)
            network.bytes_per_s = _SLOW_BYTES_PER_S
            time.sleep(phase_s)
            network.stalled = True
            time.sleep(phase_s)
            network.stalled, network.bytes_per_s, network.delay_s = False, float("inf"), 0.0
            healed_s = time.monotonic()
            slow.wait_for_answers(5)
    longest_ms = 1000 * max(call.end_s - call.due_s for call in slow.calls)
    disturbed = sum(count for how, count in other.ended.items() if how != ANSWERED)
    exceeded = slow.ended.get(DeadlineExceeded.__name__, 0)
    recovery_ms = slow.answered_ms_after(healed_s)
    yield Trial(
        "a network that is slow, then a black hole",
        f"through a proxy {phase_s:g} s with {_SLOW_BYTES_PER_S / 1000:g} kB/s and {1000 * _DELAY_S:g} ms, then "
        f"{phase_s:g} s in which nothing passes; 3 callers with `timeout_s={timeout_s:g}`, and one without the proxy",
        dict(Counter(slow.ended) + Counter(other.ended)),
        expected=(DeadlineExceeded.__name__, ServerUnavailable.__name__),
        lost=slow.lost + other.lost,
        recovery_ms=recovery_ms,
        promises=(
            Promise("callers are told", f"{exceeded} DeadlineExceeded", exceeded > 0),
            Promise.at_most("the longest call, its deadline and a little", longest_ms, 1000 * timeout_s + _LATE_MS),
            Promise.none("calls of the other client that aren't answered", disturbed),
            Promise.at_most("until calls are answered, once the network is well", recovery_ms, 3000),
        ),
    )
