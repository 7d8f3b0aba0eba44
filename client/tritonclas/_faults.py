"""From gRPC's status to this package's errors: the only place that reads a server's messages.

Triton puts its faults onto eight status codes. UNAVAILABLE alone means that a queue is full, that a
request waited too long, that a model isn't ready, that a protocol is restricted, and that nobody is
there: only the message tells them apart. tests/triton/test_faults.py provokes each on the real server.
"""

from __future__ import annotations

from tritonclas import errors
from tritonclas.errors import TritonClasError

Kind = type[TritonClasError]

#: Our own message, of requests that were under way when their client was closed.
CLOSED = "the client was closed"

_BY_CODE: dict[str, Kind] = {
    "UNAVAILABLE": errors.ServerUnavailable,
    "DEADLINE_EXCEEDED": errors.DeadlineExceeded,
    "NOT_FOUND": errors.ModelNotFound,
    "INVALID_ARGUMENT": errors.InvalidRequest,
    "RESOURCE_EXHAUSTED": errors.InvalidRequest,
    "UNAUTHENTICATED": errors.AccessDenied,
    "PERMISSION_DENIED": errors.AccessDenied,
    "UNIMPLEMENTED": errors.ServerError,
    "INTERNAL": errors.ServerError,
    "UNKNOWN": errors.ServerError,
    "CANCELLED": errors.ServerUnavailable,  # by a server that stops
}

_BY_MESSAGE: tuple[tuple[str, str, Kind], ...] = (
    ("UNAVAILABLE", "Exceeds maximum queue size", errors.ServerOverloaded),
    ("UNAVAILABLE", "Request timeout expired", errors.ServerOverloaded),
    ("UNAVAILABLE", "protocol is restricted", errors.AccessDenied),
    ("UNAVAILABLE", "CERTIFICATE_VERIFY_FAILED", errors.AccessDenied),
    ("UNAVAILABLE", "Hostname Verification Check failed", errors.AccessDenied),
    ("UNAVAILABLE", "Failed to create security handshaker", errors.InvalidRequest),
    ("NOT_FOUND", "Unable to find shared memory region", errors.InvalidRequest),
    ("NOT_FOUND", "has no available versions", errors.ModelNotReady),
    ("UNAVAILABLE", "is not at ready state", errors.ModelNotReady),
    ("CANCELLED", CLOSED, errors.InvalidRequest),
    ("INTERNAL", "Stub process", errors.ServerUnavailable),  # of a backend's instance; it has died
    ("INTERNAL", "failed to poll from model repository", errors.ModelNotFound),
)

_HINTS: tuple[tuple[str, str], ...] = (
    ("Stub process", "the process of one of its backends has died; restart the server"),
    ("Connection refused", "no server listens there (connection refused)"),
    ("http1.x server", "an HTTP server answers there; give Triton's gRPC port (8001 unless told otherwise)"),
    ("DNS resolution failed", "the host name can't be resolved"),
    ("hostname lookup error", "the host name can't be resolved"),
    (
        "Failed parsing HTTP/2",
        "something else than gRPC answers there; give Triton's gRPC port (8001 unless told otherwise)",
    ),
    (
        "Socket closed",
        "the connection was closed; is that Triton's gRPC port (8001 unless told otherwise), and does it ask for TLS "
        "or a client's certificate?",
    ),
    ("certificate has expired", "the server's certificate has expired"),
    (
        "CERTIFICATE_VERIFY_FAILED",
        "the server's certificate isn't vouched for by an authority that is trusted here; give Tls(ca=...)",
    ),
    (
        "Hostname Verification Check failed",
        "the server's certificate is another host's; if that is the server, give Tls(server_name=...)",
    ),
    ("WRONG_VERSION_NUMBER", "no TLS is spoken there; leave tls out, or give the port that does"),
    (
        "Failed to create security handshaker",
        "TLS can't be used like that: certificate and key aren't a pair, or a file is damaged",
    ),
    ("Deadline Exceeded", "no answer within the deadline"),
)


def was_cancelled(error: TritonClasError) -> bool:
    """Whether the request was given up by this client, so that the server may still work on it."""
    return getattr(error.__cause__, "code", "") == "CANCELLED"


def region_is_unknown(message: str) -> bool:
    """Whether a request was refused because the server hasn't mapped its shared memory, or no longer has."""
    return "Unable to find shared memory region" in message


def region_is_known(message: str) -> bool:
    """Whether shared memory can't be registered because it is already."""
    return "already in manager" in message


def error_class(code: str, message: str) -> tuple[Kind, str]:
    """The error for a status code's name and message, and the message in the user's words."""
    kind = _BY_CODE.get(code, errors.ServerError)
    for its_code, text, its_kind in _BY_MESSAGE:
        if code == its_code and text in message:
            kind = its_kind
    for text, hint in _HINTS:
        if text in message:
            return kind, hint
    return kind, " ".join(message.split()) or f"gRPC status {code}"
