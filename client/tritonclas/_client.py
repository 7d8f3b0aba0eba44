"""What the clients share: endpoints, a connection, and its end."""

from __future__ import annotations

import contextlib
import copy
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from tritonclas._arguments import endpoints_of
from tritonclas._async_transport import AsyncGrpcTransport, AsyncTransport, Workers
from tritonclas._async_transport import carry_out as carry_out_async
from tritonclas._channel import Compression, check_compression
from tritonclas._exchange import Call, Exchange
from tritonclas._retry import Retries
from tritonclas._security import Tls, headers_of
from tritonclas._tally import Tally
from tritonclas._transport import GrpcTransport, Transport, UnderWay, carry_out
from tritonclas.errors import InvalidRequest, TritonClasError
from tritonclas.results import Counters

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")

#: Seconds that what is left to say may hold up the end of a connection.
LAST_CALL_S = 2.0

#: Total time in seconds that a call may take, unless the caller says otherwise.
DEFAULT_TIMEOUT_S = 30.0


@dataclass
class _Life:
    """In which process a connection was made, and whether it has ended; shared by all who share it."""

    process: int
    closed: bool = False

    @property
    def forked(self) -> bool:
        """True in a process that was forked since: gRPC's locks may be held there by threads that it doesn't have."""
        return os.getpid() != self.process

    def ends_here(self) -> bool:
        """Ends it; whether there is something to end: not twice, and not what is the parent's."""
        goes_on = not self.closed and not self.forked
        self.closed = True
        return goes_on


class _Connected:
    """Endpoints, what is sent with each request, and whether this client may still be used."""

    def __init__(
        self, url: str | Sequence[str], timeout_s: float, tls: Tls | None, headers: Mapping[str, str] | None
    ) -> None:
        self._endpoints = endpoints_of(url)
        self._headers = headers_of(headers)
        self._life = _Life(os.getpid())
        self._tally = Tally()
        if tls and tls.server_name is None and len(self._endpoints) > 1:
            raise InvalidRequest(
                "several endpoints with TLS need Tls(server_name=...), a name that all certificates have"
            )
        self.url = ", ".join(self._endpoints)
        self.timeout_s = timeout_s

    def with_headers(self, headers: Mapping[str, str]) -> Self:
        """This client, on the same connection, with headers added to its own or in their place."""
        other = copy.copy(self)
        other._headers = headers_of(dict(self._headers) | dict(headers_of(headers)))
        return other

    def _begin(self, model: str | None, timeout_s: float | None, retries: Retries | None = None) -> Call:
        """A call that begins now."""
        limit_s = self.timeout_s if timeout_s is None else timeout_s
        return Call.within(limit_s, self.url, model, retries=retries, headers=self._headers, tally=self._tally)

    @property
    def counters(self) -> Counters:
        """What this client has done so far."""
        return self._tally.read()

    def _last(self) -> Exchange[None]:
        """What is said to the server in the end, on a connection of its own, when nothing is under way any more."""
        return
        yield

    def _check_usable(self) -> None:
        """InvalidRequest after its end, and in a process that was forked since: connections don't survive that."""
        if self._life.closed:
            raise InvalidRequest(f"{self!r} is closed; make another one")
        if self._life.forked:
            raise InvalidRequest(f"{self!r} was made before this process was forked; make one in each process")


def _same(given: T) -> T:
    return given


class Client(_Connected):
    """A blocking connection, to be closed after use or used in a `with` block. Threads may share it."""

    def __init__(
        self,
        url: str | Sequence[str],
        timeout_s: float,
        tls: Tls | None,
        headers: Mapping[str, str] | None,
        transport: Transport | None,
        *,
        compression: Compression | None = None,
    ) -> None:
        check_compression(compression)
        super().__init__(url, timeout_s, tls, headers)
        self._connect: Callable[[], Transport] = (
            partial(_same, transport) if transport else partial(GrpcTransport, self._endpoints, tls, compression)
        )
        self._transport = self._connect()

    def close(self) -> None:
        """End the connection, and what is under way. The client can't be used afterwards."""
        if self._life.ends_here():
            self._transport.close()
            last = self._connect()
            try:
                with contextlib.suppress(TritonClasError):
                    carry_out(self._last(), last)
            finally:
                last.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _carry_out(self, exchange: Exchange[T], under_way: UnderWay | None = None) -> T:
        self._check_usable()
        try:
            return carry_out(exchange, self._transport, under_way)
        except TritonClasError as error:
            if not (under_way and under_way.given_up):
                self._tally.failed(error)
            raise


class AsyncClient(_Connected):
    """A connection for one event loop, to be closed after use or used in an `async with` block."""

    def __init__(
        self,
        url: str | Sequence[str],
        timeout_s: float,
        tls: Tls | None,
        headers: Mapping[str, str] | None,
        transport: AsyncTransport | None,
        *,
        compression: Compression | None = None,
    ) -> None:
        check_compression(compression)
        super().__init__(url, timeout_s, tls, headers)
        self._connect: Callable[[], AsyncTransport] = (
            partial(_same, transport) if transport else partial(AsyncGrpcTransport, self._endpoints, tls, compression)
        )
        self._transport = self._connect()
        self._workers = Workers()

    async def close(self) -> None:
        """End the connection, and what is under way. The client can't be used afterwards."""
        if self._life.ends_here():
            self._workers.close()
            await self._transport.close()
            last = self._connect()
            try:
                with contextlib.suppress(TritonClasError):
                    await carry_out_async(self._last(), last, self._workers)
            finally:
                await last.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _carry_out(self, exchange: Exchange[T]) -> T:
        self._check_usable()
        try:
            return await carry_out_async(exchange, self._transport, self._workers)
        except TritonClasError as error:
            self._tally.failed(error)
            raise
