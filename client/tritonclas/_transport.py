"""Carries exchanges out over a blocking gRPC channel."""

from __future__ import annotations

import time
from typing import Any, Protocol, TypeVar

import grpc
from tritonclient.grpc import service_pb2_grpc

from tritonclas._exchange import Exchange, Prepare, Rpc, RpcFault, Step

T = TypeVar("T")

#: Answers are a few kilobytes a picture; probabilities of a large batch stay far below this.
_MAX_ANSWER_BYTES = 64 * 2**20
#: The reasons why the pictures of a batch are rejected travel in the status message, which gRPC counts as metadata.
_MAX_REASONS_BYTES = 2**20

_CHANNEL_OPTIONS = (
    ("grpc.max_send_message_length", -1),  # Triton's own limit holds
    ("grpc.max_receive_message_length", _MAX_ANSWER_BYTES),
    ("grpc.max_metadata_size", _MAX_REASONS_BYTES),
    # A server that has come up is noticed soon, not after gRPC's usual back-off of up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.enable_retries", 0),  # gRPC can't tell an overloaded server from a lost connection
)


class Transport(Protocol):
    """What a client needs of the network; tests put a scripted one in its place."""

    def call(self, rpc: Rpc) -> Any:
        """The reply to one call; RpcFault if it fails."""

    def close(self) -> None:
        """End all connections."""


class GrpcTransport:
    """One channel to one endpoint, shared by all threads."""

    def __init__(self, endpoint: str) -> None:
        self._channel = grpc.insecure_channel(endpoint, options=_CHANNEL_OPTIONS)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)

    def call(self, rpc: Rpc) -> Any:
        """The reply to one call; RpcFault if it fails."""
        try:
            return getattr(self._stub, rpc.method)(rpc.request, timeout=rpc.timeout_s)
        except grpc.RpcError as error:
            raise RpcFault(error.code().name, error.details() or "") from error
        except ValueError as error:  # gRPC's way to say that the channel is closed
            raise RpcFault("CANCELLED", "the client is closed") from error

    def close(self) -> None:
        """End all connections; calls under way fail."""
        self._channel.close()


def carry_out(exchange: Exchange[T], transport: Transport) -> T:
    """Run an exchange to its end and return its result."""
    try:
        step = next(exchange)
        while True:
            try:
                reply = _perform(step, transport)
            except RpcFault as fault:
                step = exchange.throw(fault)
            else:
                step = exchange.send(reply)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


def _perform(step: Step, transport: Transport) -> Any:
    if isinstance(step, Rpc):
        return transport.call(step)
    if isinstance(step, Prepare):
        return step.work()
    time.sleep(step.seconds)
    return None
