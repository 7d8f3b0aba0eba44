"""Every gRPC status becomes an error of this package; tests/triton provokes the messages on the real server."""

from __future__ import annotations

import grpc
import pytest

from tritonclas import errors
from tritonclas._faults import error_class

CODES = [code.name for code in grpc.StatusCode if code is not grpc.StatusCode.OK]

MESSAGES = [
    ("NOT_FOUND", "Request for unknown model: 'X' is not found", errors.ModelNotFound),
    ("NOT_FOUND", "Request for unknown model: 'X' has no available versions", errors.ModelNotReady),
    ("INTERNAL", "failed to load 'X', failed to poll from model repository", errors.ModelNotFound),
    ("UNAVAILABLE", "Exceeds maximum queue size", errors.ServerOverloaded),
    ("UNAVAILABLE", "in ensemble 'X', Exceeds maximum queue size", errors.ServerOverloaded),
    ("UNAVAILABLE", "Request timeout expired", errors.ServerOverloaded),
    ("UNAVAILABLE", "This protocol is restricted, expecting header 'admin-key'", errors.AccessDenied),
    ("UNAVAILABLE", "failed to connect to all addresses; last error: Connection refused", errors.ServerUnavailable),
    ("UNAVAILABLE", "Server is shutting down", errors.ServerUnavailable),
    ("INVALID_ARGUMENT", "unexpected shape for input 'image' for model 'X'", errors.InvalidRequest),
    ("INVALID_ARGUMENT", "image 0 rejected: Exceeds maximum queue size", errors.InvalidRequest),
    ("INVALID_ARGUMENT", "image 0 rejected: protocol is restricted", errors.InvalidRequest),
    ("DEADLINE_EXCEEDED", "Deadline Exceeded", errors.DeadlineExceeded),
    ("RESOURCE_EXHAUSTED", "Received message larger than max", errors.InvalidRequest),
    ("UNAUTHENTICATED", "no token", errors.AccessDenied),
    ("PERMISSION_DENIED", "not you", errors.AccessDenied),
    ("INTERNAL", "in ensemble 'X', Stub process 'X_net_0_0' is not healthy.", errors.ServerUnavailable),
    ("INTERNAL", "CUDA out of memory", errors.ServerError),
    ("UNKNOWN", "Exceeds maximum queue size", errors.ServerError),
]

HINTS = [
    ("in ensemble 'X', Stub process 'X_net_0_0' is not healthy.", "restart the server"),
    ("failed to connect to all addresses; last error: ipv4:1.2.3.4:8001: Connection refused", "no server listens"),
    ("Trying to connect an http1.x server (HTTP status 400)", "gRPC port"),
    ("DNS resolution failed for host:8001: C-ares status", "host name"),
    ("errors resolving host:8001: [field:hostname lookup error:address lookup failed]", "host name"),
    ("Failed parsing HTTP/2 (Expected SETTINGS frame as the first frame, got frame type 79)", "gRPC port"),
    ("Socket closed", "gRPC port"),
    ("Deadline Exceeded", "deadline"),
]


@pytest.mark.parametrize("code", CODES)
def test_every_status_becomes_an_error(code: str) -> None:
    kind, message = error_class(code, "it broke")
    assert issubclass(kind, errors.TritonClasError)
    assert kind is not errors.TritonClasError
    assert message == "it broke"


@pytest.mark.parametrize("code", CODES)
def test_a_status_without_a_message_says_its_name(code: str) -> None:
    assert code in error_class(code, "")[1]


@pytest.mark.parametrize(("code", "message", "kind"), MESSAGES, ids=lambda value: str(value)[:50])
def test_messages_of_triton(code: str, message: str, kind: type[errors.TritonClasError]) -> None:
    assert error_class(code, message)[0] is kind


@pytest.mark.parametrize(("message", "hint"), HINTS, ids=lambda value: value[:30])
def test_messages_of_grpc_in_the_words_of_a_user(message: str, hint: str) -> None:
    assert hint in error_class("UNAVAILABLE", message)[1]


def test_messages_are_one_line() -> None:
    assert error_class("INTERNAL", "failed:\n  at model.py\n\n  line 3\n")[1] == "failed: at model.py line 3"
