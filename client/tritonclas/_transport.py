"""Carries exchanges out over a blocking gRPC channel."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

import grpc
from tritonclient.grpc import service_pb2_grpc

from tritonclas import _channel
from tritonclas._exchange import Exchange, Prepare, Rpc, RpcFault, Step
from tritonclas._faults import CLOSED
from tritonclas._security import Tls

T = TypeVar("T")


class UnderWay:
    """Calls that are given up together, from another thread than those that wait for them."""

    def __init__(self) -> None:
        self._calls: set[grpc.Future] = set()
        self.given_up = False
        self._lock = threading.Lock()

    def wait_for(self, call: Any) -> Any:
        """Its reply; grpc's errors if it fails or is given up."""
        with self._lock:
            self._calls.add(call)
        try:
            if self.given_up:
                call.cancel()
            return call.result()
        finally:
            with self._lock:
                self._calls.discard(call)

    def give_up(self) -> None:
        """Cancel them, and those that are still to come."""
        self.given_up = True
        with self._lock:
            calls = list(self._calls)
        for call in calls:
            call.cancel()


class Transport(Protocol):
    """What a client needs of the network; tests put a scripted one in its place."""

    def call(self, rpc: Rpc, under_way: UnderWay | None = None) -> Any:
        """The reply to one call, which may be given up with others; RpcFault if it fails or is."""

    def close(self) -> None:
        """End all connections."""


class GrpcTransport:
    """One channel to one or several endpoints, made for the first call and shared by all threads."""

    def __init__(
        self, endpoints: Sequence[str], tls: Tls | None = None, compression: _channel.Compression | None = None
    ) -> None:
        self._endpoints = endpoints
        self._tls = tls
        self._compression = compression
        self._credentials = tls and tls.credentials()
        self._channel: Any = None
        self._stub: Any = None
        self._closed = False
        self._lock = threading.Lock()

    def call(self, rpc: Rpc, under_way: UnderWay | None = None) -> Any:
        """The reply to one call, which may be given up with others; RpcFault if it fails or is."""
        left_s = rpc.timeout_s
        if self._stub is None:
            begin_s = time.monotonic()
            self._connect()
            left_s -= time.monotonic() - begin_s
            if left_s <= 0:
                raise RpcFault("DEADLINE_EXCEEDED", "Deadline Exceeded")
        method = getattr(self._stub, rpc.method)
        try:
            if under_way is None:
                return method(rpc.request, timeout=left_s, metadata=rpc.headers)
            return under_way.wait_for(method.future(rpc.request, timeout=left_s, metadata=rpc.headers))
        except grpc.FutureCancelledError as error:
            raise RpcFault("CANCELLED", CLOSED) from error
        except grpc.RpcError as error:
            raise fault(error, closed=self._closed) from error
        except ValueError as error:  # gRPC's way to say that the channel is closed
            raise RpcFault("CANCELLED", CLOSED) from error

    def close(self) -> None:
        """End all connections; calls under way fail."""
        with self._lock:
            self._closed = True
            if self._channel is not None:
                self._channel.close()

    def _connect(self) -> None:
        # Without the lock, since it may ask a name server.
        target, options = _channel.channel_of(self._endpoints, self._tls, self._compression)
        with self._lock:
            if self._closed:
                raise RpcFault("CANCELLED", CLOSED)
            if self._stub is None:
                if self._credentials is None:
                    self._channel = grpc.insecure_channel(target, options=options)
                else:
                    self._channel = grpc.secure_channel(target, self._credentials, options=options)
                self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)


def fault(error: Any, *, closed: bool) -> RpcFault:
    """A failed gRPC call in the protocol's vocabulary; `closed` says whether its client was closed meanwhile."""
    code, details = error.code().name, error.details() or ""
    return RpcFault(code, CLOSED if closed and code == "CANCELLED" else details)


def carry_out(exchange: Exchange[T], transport: Transport, under_way: UnderWay | None = None) -> T:
    """Run an exchange to its end and return its result; its calls are given up with those `under_way`."""
    try:
        step = next(exchange)
        while True:
            try:
                reply = _perform(step, transport, under_way)
            except RpcFault as fault:
                step = exchange.throw(fault)
            else:
                step = exchange.send(reply)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


def _perform(step: Step, transport: Transport, under_way: UnderWay | None) -> Any:
    if isinstance(step, Rpc):
        return transport.call(step, under_way)
    if isinstance(step, Prepare):
        return step.work()
    time.sleep(step.seconds)
    return None
