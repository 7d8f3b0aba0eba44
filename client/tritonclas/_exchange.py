"""The protocol's vocabulary: an exchange is a generator that asks for I/O and never does any itself.

It yields an `Rpc`, a `Pause` or a `Prepare` and is sent the outcome; a failed call is thrown into it as an
`RpcFault`.
Sync and async drivers only carry out what it asks for, so what to send, when to retry and how long to
wait is written once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

from tritonclas._arguments import check_timeout
from tritonclas._faults import error_class
from tritonclas.errors import DeadlineExceeded, TritonClasError

T = TypeVar("T")


@dataclass(frozen=True)
class Rpc:
    """One gRPC call to make: the method's name in Triton's GRPCInferenceService, its message, and the time it has."""

    method: str
    request: Any
    timeout_s: float


@dataclass(frozen=True)
class Pause:
    """A wait."""

    seconds: float


@dataclass(frozen=True)
class Prepare:
    """Work that reads files or takes the processor for a while, to be done wherever that holds nobody up."""

    work: Callable[[], Any]


Step = Rpc | Pause | Prepare
Exchange = Generator[Step, Any, T]


class RpcFault(Exception):
    """A gRPC call that failed: the status code's name and the server's or gRPC's message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Deadline:
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
    """One call of a user: whom it goes to, until when, and how many requests it has sent."""

    endpoint: str
    deadline: Deadline
    model: str | None = None
    attempts: int = 0

    @classmethod
    def within(cls, timeout_s: float, endpoint: str, model: str | None = None) -> Call:
        """A call that begins now and may take so many seconds; InvalidRequest if that isn't a sensible number."""
        check_timeout(timeout_s)
        return cls(endpoint, Deadline.after(timeout_s), model)

    def rpc(self, method: str, request: Any) -> Exchange[Any]:
        """Exchange one message; any failure becomes an error of this package with the call's context."""
        remaining_s = self.deadline.remaining_s
        if remaining_s <= 0:
            raise self.error(DeadlineExceeded, f"no answer within {self.deadline.total_s:g} s")
        self.attempts += 1
        try:
            return (yield Rpc(method, request, remaining_s))
        except RpcFault as fault:
            kind, message = error_class(fault.code, fault.message)
            raise self.error(kind, message) from fault

    def error(self, kind: type[TritonClasError], message: str) -> TritonClasError:
        """An error that carries the call's context."""
        return kind(f"{self.where}: {message}", model=self.model, endpoint=self.endpoint, attempts=self.attempts)

    @property
    def where(self) -> str:
        """The model and the server, as error messages name them."""
        return f"{self.model} at {self.endpoint}" if self.model else self.endpoint
