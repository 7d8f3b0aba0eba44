"""Load that doesn't wait for answers: requests are sent when they are due, whatever became of those before."""

from __future__ import annotations

import itertools
import math
import random
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import grpc
from tritonclient.grpc import service_pb2

from tritonclas._faults import error_class
from tritonclas.errors import ServerOverloaded

#: How requests end: answered, or with one of the SDK's errors.
ANSWERED, REFUSED = "answered", ServerOverloaded.__name__

#: Under way at one time. A server that queues without a bound would get no more than that, and it would be seen.
IN_FLIGHT_LIMIT = 1000
_CONNECTIONS = 8
_TIMEOUT_S = 60.0
_METHOD = "/inference.GRPCInferenceService/ModelInfer"
#: Each channel a connection of its own.
_OPTIONS = (("grpc.use_local_subchannel_pool", 1),)


@dataclass
class Outcome:
    """Of requests that have ended: milliseconds since they were due, by how they ended; and what wasn't sent.

    `late_ms` has by how much each was sent late, `cpu` what sending took of a core, `answering_s` how long it took from
    the first request's sending to the last answer.
    """

    taken_ms: dict[str, list[float]] = field(default_factory=dict)
    late_ms: list[float] = field(default_factory=list)
    unsent: int = 0
    cpu: float = 0.0
    answering_s: float = 0.0

    def ended(self, how: str) -> list[float]:
        """Milliseconds of those that ended so."""
        return self.taken_ms.get(how, [])

    @property
    def failed(self) -> int:
        """Those that were neither answered nor refused."""
        return sum(len(times) for how, times in self.taken_ms.items() if how not in (ANSWERED, REFUSED))


class Sender:
    """Connections to a server, and a request that is made once, of one image."""

    def __init__(self, url: str, model: str, image: bytes) -> None:
        request = service_pb2.ModelInferRequest(model_name=model)
        request.inputs.add(name="image", datatype="BYTES", shape=[1, 1])
        request.raw_input_contents.append(len(image).to_bytes(4, "little") + image)
        self._content: bytes = request.SerializeToString()
        self._resources = ExitStack()
        channels = [self._resources.enter_context(grpc.insecure_channel(url, _OPTIONS)) for _ in range(_CONNECTIONS)]
        self._calls = [channel.unary_unary(_METHOD) for channel in channels]

    def __enter__(self) -> Sender:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._resources.close()

    def ask(self) -> tuple[str, float]:
        """One request, waited for: how it ended, and after how many milliseconds."""
        begin_s = time.perf_counter()
        how = _ending(self._calls[0].future(self._content, timeout=_TIMEOUT_S))
        return how, 1000 * (time.perf_counter() - begin_s)

    def send(self, per_s: float, duration_s: float) -> _Sending:
        """Send so many a second at random times; what comes back tells the outcome when all have ended."""
        sending = _Sending()
        calls = itertools.cycle(self._calls)
        begin_cpu_s, begin_s = time.process_time(), time.perf_counter()
        for due_s in arrivals(per_s, begin_s, begin_s + duration_s):
            time.sleep(max(0.0, due_s - time.perf_counter()))
            if sending.room():
                sending.sent(next(calls).future(self._content, timeout=_TIMEOUT_S), due_s)
        sending.outcome.cpu = (time.process_time() - begin_cpu_s) / (time.perf_counter() - begin_s)
        return sending


class _Sending:
    """Keeps what becomes of requests; gRPC's threads tell it."""

    def __init__(self) -> None:
        self.outcome = Outcome()
        self._begin_s = time.perf_counter()
        self._under_way = 0
        self._changed = threading.Condition()

    def room(self) -> bool:
        """Whether another may be sent; counts it as unsent if not."""
        with self._changed:
            if self._under_way < IN_FLIGHT_LIMIT:
                self._under_way += 1
                return True
            self.outcome.unsent += 1
            return False

    def sent(self, future: Any, due_s: float) -> None:
        """Keep when it was sent, and what becomes of it."""
        self.outcome.late_ms.append(1000 * (time.perf_counter() - due_s))
        future.add_done_callback(lambda done: self._ended(_ending(done), time.perf_counter() - due_s))

    def _ended(self, how: str, taken_s: float) -> None:
        with self._changed:
            self.outcome.taken_ms.setdefault(how, []).append(1000 * taken_s)
            if how == ANSWERED:
                self.outcome.answering_s = time.perf_counter() - self._begin_s
            self._under_way -= 1
            self._changed.notify_all()

    def wait(self) -> Outcome:
        """The outcome, when all have ended."""
        with self._changed:
            self._changed.wait_for(lambda: self._under_way == 0, timeout=2 * _TIMEOUT_S)
        return self.outcome


def _ending(future: Any) -> str:
    """How a request ended, which is waited for."""
    code: grpc.StatusCode = future.code()
    return ANSWERED if code == grpc.StatusCode.OK else error_class(code.name, future.details() or "")[0].__name__


def arrivals(per_s: float, begin_s: float, end_s: float = math.inf) -> Iterator[float]:
    """A Poisson process, as independent callers make it; the same at each run."""
    chance = random.Random(0)  # noqa: S311
    due_s = begin_s + chance.expovariate(per_s)
    while due_s < end_s:
        yield due_s
        due_s += chance.expovariate(per_s)
