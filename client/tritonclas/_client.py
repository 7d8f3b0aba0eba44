"""What the blocking clients share: an endpoint, a connection, and its end."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from tritonclas._arguments import check_endpoint
from tritonclas._exchange import Exchange
from tritonclas._transport import GrpcTransport, Transport, carry_out

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")

#: Total time in seconds that a call may take, unless the caller says otherwise.
DEFAULT_TIMEOUT_S = 30.0


class Client:
    """A connection to one server, to be closed after use or used in a `with` block."""

    def __init__(self, url: str, timeout_s: float, transport: Transport | None) -> None:
        check_endpoint(url)
        self.url = url
        self.timeout_s = timeout_s
        self._transport = transport or GrpcTransport(url)

    def close(self) -> None:
        """End the connection. The client can't be used afterwards."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _timeout_s(self, timeout_s: float | None) -> float:
        return self.timeout_s if timeout_s is None else timeout_s

    def _carry_out(self, exchange: Exchange[T]) -> T:
        return carry_out(exchange, self._transport)
