"""Pictures decoded and run in one process, then a request: what asking costs between two runs of a network.

    python -m bench.interleaved images|crops NAME NETWORK STRATEGY PICTURES PORT SECONDS < REQUEST

The strategy is JSON, a request comes after so many pictures. Prints as JSON how many requests were sent, the processor
time that sending one and reading its answer took, and after what time half of them were answered.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path

import cv2

from bench.inprocess import feed_of, workers
from bench.pacing import Duration, Work, pace
from bench.pictures import photograph
from bench.rows import SIZE
from bench.strategies import Strategy
from bench.wire import Connection
from tritonclas import zoo


class _Asking:
    """A worker who asks after each batch; `cpu_s` is what the asking alone took, `taken_s` how long each answer."""

    def __init__(self, compute: Work, batch: int, port: int, request: bytes) -> None:
        self._compute, self._batch, self._connection, self._request = compute, batch, Connection(port), request
        self.cpu_s = 0.0
        self.taken_s: list[float] = []

    def __call__(self) -> None:
        for _ in range(self._batch):
            self._compute()
        begin_s, begin_cpu_s = time.perf_counter(), time.thread_time()
        self._connection.ask(self._request)
        self.cpu_s += time.thread_time() - begin_cpu_s
        self.taken_s.append(time.perf_counter() - begin_s)


def main() -> None:
    """Compute and ask in turns."""
    kind, name, network, strategy, batch, port, seconds = sys.argv[1:]
    request = sys.stdin.buffer.read()
    cv2.setNumThreads(1)
    feed = feed_of(kind, zoo.find(name), photograph(*SIZE))
    made = workers(Path(network), feed, Strategy(**json.loads(strategy)))
    asking = [_Asking(work, int(batch), int(port), request) for work in made]
    pace(asking, Duration(0, float(seconds)))
    taken_s = [taken_s for each in asking for taken_s in each.taken_s]
    found = {
        "requests": len(taken_s),
        "client_ms": 1000 * sum(each.cpu_s for each in asking) / len(taken_s),
        "p50_ms": 1000 * statistics.median(taken_s),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
