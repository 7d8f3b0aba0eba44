"""Everything that the client raises.

TritonClasError
├── ServerUnavailable    no server answers, or the connection was lost before it did
├── ServerOverloaded     the server has refused the request: its queue is full, or the request waited too long in it
├── DeadlineExceeded     the call's total deadline is over
├── ModelNotFound        the server has no such model or version
├── ModelNotReady        the server has the model, but it isn't loaded
├── ImageRejected        a picture can't be read or decoded, or is too large
├── InvalidRequest       the server or the client can't make sense of the request
├── AccessDenied         a key, certificate or permission is missing
└── ServerError          anything else that the server reports
"""

from __future__ import annotations

import pickle
from typing import Any


class TritonClasError(Exception):
    """Root of all errors of this package.

    `model` and `endpoint` say what was called, as far as it is known; `attempts` how many requests were sent.
    """

    def __init__(
        self, message: str, *, model: str | None = None, endpoint: str | None = None, attempts: int = 0
    ) -> None:
        super().__init__(message)
        self.model = model
        self.endpoint = endpoint
        self.attempts = attempts

    def __reduce__(self) -> tuple[Any, ...]:
        state = dict(self.__dict__)
        if self.__cause__ is not None:
            state["__cause__"] = _picklable(self.__cause__)
        return type(self), self.args, state


class ServerUnavailable(TritonClasError):
    """No server answers at the endpoint, or the connection was lost before it answered."""


class ServerOverloaded(TritonClasError):
    """The server refused the request: its queue is full, or the request waited in it for too long."""


class DeadlineExceeded(TritonClasError):
    """The total deadline of the call is over."""


class ModelNotFound(TritonClasError):
    """The server has no model, or no version of it, of that name."""


class ModelNotReady(TritonClasError):
    """The server has the model, but it isn't loaded."""


class ImageRejected(TritonClasError):
    """A picture can't be read or decoded, or is too large. `source` says which, `reason` why."""

    def __init__(self, message: str, *, source: str = "", reason: str = "", **context: Any) -> None:
        super().__init__(message, **context)
        self.source = source
        self.reason = reason


class InvalidRequest(TritonClasError):
    """The request makes no sense to the server, or an argument none to the client."""


class AccessDenied(TritonClasError):
    """The server asks for a key, a certificate or a permission that the client doesn't have."""


class ServerError(TritonClasError):
    """The server reports a fault of its own."""


def _picklable(cause: BaseException) -> BaseException:
    """The cause itself, or its text where it can't be pickled (gRPC's errors hold locks)."""
    try:
        pickle.loads(pickle.dumps(cause))  # noqa: S301  what is read was written in this line
    except Exception:  # noqa: BLE001  pickling may raise anything
        return RuntimeError(f"{type(cause).__name__}: {cause}")
    return cause
