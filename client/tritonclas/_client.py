"""What the clients share: an endpoint, a connection, and its end."""

from __future__ import annotations

import os
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from tritonclas._arguments import endpoints_of
from tritonclas._async_transport import AsyncGrpcTransport, AsyncTransport, Workers
from tritonclas._async_transport import carry_out as carry_out_async
from tritonclas._exchange import Exchange
from tritonclas._transport import GrpcTransport, Transport, UnderWay, carry_out
from tritonclas.errors import InvalidRequest

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")

#: Total time in seconds that a call may take, unless the caller says otherwise.
DEFAULT_TIMEOUT_S = 30.0


class _Connected:
    """An endpoint, and whether this client may still be used."""

    def __init__(self, url: str | Sequence[str], timeout_s: float) -> None:
        self._endpoints = endpoints_of(url)
        self.url = ", ".join(self._endpoints)
        self.timeout_s = timeout_s
        self._process = os.getpid()
        self._closed = False

    def _timeout_s(self, timeout_s: float | None) -> float:
        return self.timeout_s if timeout_s is None else timeout_s

    def _check_usable(self) -> None:
        """InvalidRequest after its end, and in a process that was forked since: connections don't survive that."""
        if self._closed:
            raise InvalidRequest(f"{self!r} is closed; make another one")
        if os.getpid() != self._process:
            raise InvalidRequest(f"{self!r} was made before this process was forked; make one in each process")


class Client(_Connected):
    """A blocking connection, to be closed after use or used in a `with` block. Threads may share it."""

    def __init__(self, url: str | Sequence[str], timeout_s: float, transport: Transport | None) -> None:
        super().__init__(url, timeout_s)
        self._transport = transport or GrpcTransport(self._endpoints)

    def close(self) -> None:
        """End the connection, and what is under way. The client can't be used afterwards."""
        self._closed = True
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _carry_out(self, exchange: Exchange[T], under_way: UnderWay | None = None) -> T:
        self._check_usable()
        return carry_out(exchange, self._transport, under_way)


class AsyncClient(_Connected):
    """A connection for one event loop, to be closed after use or used in an `async with` block."""

    def __init__(self, url: str | Sequence[str], timeout_s: float, transport: AsyncTransport | None) -> None:
        super().__init__(url, timeout_s)
        self._transport = transport or AsyncGrpcTransport(self._endpoints)
        self._workers = Workers()

    async def close(self) -> None:
        """End the connection, and what is under way. The client can't be used afterwards."""
        self._closed = True
        self._workers.close()
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _carry_out(self, exchange: Exchange[T]) -> T:
        self._check_usable()
        return await carry_out_async(exchange, self._transport, self._workers)
