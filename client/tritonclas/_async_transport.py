"""Carries exchanges out over gRPC's asyncio channel."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Protocol, TypeVar

import grpc
from tritonclient.grpc import service_pb2_grpc

from tritonclas import _channel
from tritonclas._exchange import Exchange, Pause, Prepare, Rpc, RpcFault, Step
from tritonclas._faults import CLOSED
from tritonclas._security import Tls
from tritonclas._transport import fault
from tritonclas.errors import InvalidRequest

T = TypeVar("T")

#: Threads that read and decode for all calls of a client: more than there are processors only wait for each other.
_THREADS: Final = min(32, (os.cpu_count() or 1) + 1)


#: From Python 3.11 on a task says whether it is being cancelled; before, it takes a second task to know.
_TELLS_CANCELLING: Final = hasattr(asyncio.Task, "cancelling")


class AsyncTransport(Protocol):
    """What an async client needs of the network; tests put a scripted one in its place."""

    async def call(self, rpc: Rpc) -> Any:
        """The reply to one call; RpcFault if it fails."""

    async def close(self) -> None:
        """End all connections."""


class AsyncGrpcTransport:
    """One channel to one or several endpoints, made in the event loop of its first call and bound to it."""

    def __init__(
        self, endpoints: Sequence[str], tls: Tls | None = None, compression: _channel.Compression | None = None
    ) -> None:
        self._endpoints = endpoints
        self._tls = tls
        self._compression = compression
        self._credentials = tls and tls.credentials()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._channel: Any = None
        self._stub: Any = None
        self._closed = False

    async def call(self, rpc: Rpc) -> Any:
        """The reply to one call; RpcFault if it fails."""
        begin_s = time.monotonic()
        stub = await self._its_stub()
        left_s = rpc.timeout_s - (time.monotonic() - begin_s)
        if left_s <= 0:
            raise RpcFault("DEADLINE_EXCEEDED", "Deadline Exceeded")
        try:
            made = getattr(stub, rpc.method)(rpc.request, timeout=left_s, metadata=rpc.headers)
            return await (self._answer(made) if _TELLS_CANCELLING else _unless_dropped(_task(made)))
        except grpc.RpcError as error:
            raise fault(error, closed=self._closed) from error
        except grpc.aio.UsageError as error:  # gRPC's way to say that the channel is closed
            raise RpcFault("CANCELLED", CLOSED) from error

    async def close(self) -> None:
        """End all connections; calls under way fail."""
        self._closed = True
        if self._channel is not None:
            await self._channel.close()

    async def _answer(self, made: Any) -> Any:
        """The reply; RpcFault if the call was cancelled although its task wasn't: then the client was closed."""
        try:
            return await made
        except asyncio.CancelledError:
            if self._closed and not asyncio.current_task().cancelling():  # type: ignore[union-attr]
                raise RpcFault("CANCELLED", CLOSED) from None
            raise

    async def _its_stub(self) -> Any:
        running = asyncio.get_running_loop()
        if self._loop is not running:
            if self._loop is not None:
                raise InvalidRequest("an async client belongs to the event loop that used it first; make another")
            self._loop = running
        if self._stub is None:
            # In a thread, since it may ask a name server.
            target, options = await asyncio.to_thread(
                _channel.channel_of, self._endpoints, self._tls, self._compression
            )
            if self._closed:
                raise RpcFault("CANCELLED", CLOSED)
            if self._stub is None:  # or another task was faster
                if self._credentials is None:
                    self._channel = grpc.aio.insecure_channel(target, options=options)
                else:
                    self._channel = grpc.aio.secure_channel(target, self._credentials, options=options)
                self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        return self._stub


def _task(call: Any) -> asyncio.Future[Any]:
    async def answer() -> Any:
        return await call

    return asyncio.ensure_future(answer())


async def _unless_dropped(work: asyncio.Future[T]) -> T:
    """The work's result; RpcFault if it was cancelled although its caller wasn't: then the client was closed."""
    try:
        await asyncio.wait({work})
    except asyncio.CancelledError:
        work.cancel()
        raise
    if work.cancelled():
        raise RpcFault("CANCELLED", CLOSED)
    return work.result()


class Workers:
    """The threads in which files are read and pictures decoded, started when they are needed."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._closed = False

    async def do(self, prepare: Prepare) -> Any:
        """Do it, in a thread unless it is quick; InvalidRequest once they have ended."""
        if prepare.quick:
            return prepare.work()
        if self._closed:
            raise InvalidRequest(CLOSED)
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_THREADS, "tritonclas")
        try:
            return await _unless_dropped(asyncio.get_running_loop().run_in_executor(self._pool, prepare.work))
        except RpcFault as dropped:
            raise InvalidRequest(CLOSED) from dropped

    def close(self) -> None:
        """End them; work that hasn't begun is dropped."""
        self._closed = True
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)


async def carry_out(exchange: Exchange[T], transport: AsyncTransport, workers: Workers) -> T:
    """Run an exchange to its end and return its result; cancelled, the request under way is cancelled too."""
    try:
        step = next(exchange)
        while True:
            try:
                reply = await _perform(step, transport, workers)
            except RpcFault as failed:
                step = exchange.throw(failed)
            else:
                step = exchange.send(reply)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    finally:
        exchange.close()


async def _perform(step: Step, transport: AsyncTransport, workers: Workers) -> Any:
    if isinstance(step, Rpc):
        return await transport.call(step)
    if isinstance(step, Prepare):
        return await workers.do(step)
    assert isinstance(step, Pause)
    return await asyncio.sleep(step.seconds)
