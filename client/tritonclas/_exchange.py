"""The protocol's vocabulary: an exchange is a generator that asks for I/O and never does any itself.

It yields an `Rpc`, a `Pause` or a `Prepare` and is sent the outcome; a failed call is thrown into it as an
`RpcFault`.
Sync and async drivers only carry out what it asks for, so what to send, when to retry and how long to
wait is written once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeVar

from tritonclas._arguments import check_timeout
from tritonclas._faults import error_class
from tritonclas._retry import Retries
from tritonclas._security import Headers
from tritonclas._tally import Tally
from tritonclas._tracing import NOBODY, Span, request_span
from tritonclas.errors import DeadlineExceeded, TritonClasError

T = TypeVar("T")

_LOG = logging.getLogger("tritonclas")
_SERVICE: Final = "inference.GRPCInferenceService"


@dataclass(frozen=True)
class Rpc:
    """One gRPC call to make: the method's name in Triton's GRPCInferenceService, its message, time and headers."""

    method: str
    request: Any
    timeout_s: float
    headers: Headers = field(default=(), repr=False)


class Pause(NamedTuple):
    """A wait."""

    seconds: float


class Prepare(NamedTuple):
    """Work to be done before a request; unless `quick`, it reads files or takes the processor for a while.

    Then it is done wherever that holds nobody up.
    """

    work: Callable[[], Any]
    quick: bool = False


Step = Rpc | Pause | Prepare
Exchange = Generator[Step, Any, T]


class RpcFault(Exception):
    """A gRPC call that failed: the status code's name and the server's or gRPC's message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class Deadline(NamedTuple):
    """The end of a call's total time, on a monotonic clock in seconds."""

    end: float
    total_s: float
    clock: Callable[[], float] = time.monotonic

    @classmethod
    def after(cls, seconds: float, clock: Callable[[], float] = time.monotonic) -> Deadline:
        """The deadline that many seconds from now."""
        return cls(clock() + seconds, seconds, clock)

    @property
    def remaining_s(self) -> float:
        """Seconds left, negative when it is over."""
        return self.end - self.clock()


@dataclass
class Call:
    """One call of a user: whom it goes to, until when, and how many requests it has sent, of them with images.

    `retries` says which of them are sent again; without, none is.
    """

    endpoint: str
    deadline: Deadline
    model: str | None = None
    retries: Retries | None = None
    headers: Headers = field(default=(), repr=False)
    tally: Tally = field(default_factory=Tally, repr=False)
    span: Span = field(default=NOBODY, repr=False)
    attempts: int = 0
    inferences: int = 0

    @classmethod
    def within(cls, timeout_s: float, endpoint: str, model: str | None = None, **shared: Any) -> Call:
        """A call that begins now and may take so many seconds; InvalidRequest if that isn't a sensible number."""
        check_timeout(timeout_s)
        return cls(endpoint, Deadline.after(timeout_s), model, **shared)

    def rpc(self, method: str, request: Any) -> Exchange[Any]:
        """Exchange one message; any failure becomes an error of this package with the call's context.

        A failure that may pass is tried again as long as the deadline allows; it is the last one that is raised.
        """
        return self.rpc_in_time(method, lambda left_s: request)

    def rpc_in_time(self, method: str, request: Callable[[float], Any]) -> Exchange[Any]:
        """The same with a message that depends on the seconds left for it, made for each attempt."""
        tried = 0
        while True:
            left_s = self.check_time()
            self.attempts += 1
            self.inferences += method == "ModelInfer"
            self.tally.sent(again=tried > 0)
            try:
                return (yield from self._attempt(method, request(left_s), left_s))
            except RpcFault as fault:
                tried += 1
                kind, message = error_class(fault.code, fault.message)
                pause_s = self.retries.pause_s(kind, tried, self.deadline.remaining_s) if self.retries else None
                if pause_s is None:
                    raise self.error(kind, message) from fault
                _LOG.info("%s: %s failed (%s), and is sent again in %.3f s", self.where, method, message, pause_s)
            yield Pause(pause_s)

    def _attempt(self, method: str, request: Any, left_s: float) -> Exchange[Any]:
        begin_s = self.deadline.clock()
        with request_span(_SERVICE, method, self.endpoint, self.span) as span:
            reply = yield Rpc(method, request, left_s, span.headers(self.headers))
        if _LOG.isEnabledFor(logging.DEBUG):
            _LOG.debug("%s: %s answered after %.3f s", self.where, method, self.deadline.clock() - begin_s)
        return reply

    def check_time(self) -> float:
        """Seconds that are left; DeadlineExceeded if there are none."""
        remaining_s = self.deadline.remaining_s
        if remaining_s <= 0:
            raise self.error(DeadlineExceeded, f"no answer within {self.deadline.total_s:g} s")
        return remaining_s

    def error(self, kind: type[TritonClasError], message: str) -> TritonClasError:
        """An error that carries the call's context."""
        return kind(f"{self.where}: {message}", model=self.model, endpoint=self.endpoint, attempts=self.attempts)

    @property
    def where(self) -> str:
        """The model and the server, as error messages name them."""
        return f"{self.model} at {self.endpoint}" if self.model else self.endpoint
