"""Whether a server is ready, asked in either of the ways that it may be open to."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Sequence

from tritonclas import AccessDenied, ModelServer, Tls, TritonClasError

_KNOCK_S = 0.01
_ANSWER_S = 0.5


def listens(host: str, port: int) -> bool:
    """Whether anybody does there; a moment later if not, so that it can be asked in a loop."""
    with socket.socket() as knocking:
        open_ = knocking.connect_ex((host, port)) == 0
    if not open_:
        time.sleep(_KNOCK_S)
    return open_


def ready_over_grpc(url: str, tls: Tls | None, models: Sequence[str]) -> bool:
    """Whether these models answer requests. gRPC itself would try again only later, and ever later: knock first."""
    host, _, port = url.rpartition(":")
    if not listens(host, int(port)):
        return False
    try:
        with ModelServer(url, tls=tls) as server:
            server.wait_ready(models, timeout_s=_ANSWER_S)
    except AccessDenied:
        pass  # its health is restricted, but it answers, which it does once its models are loaded
    except TritonClasError:
        return False
    return True


def ready_over_http(host: str, port: int) -> bool:
    """Whether the server and all that it has loaded answer requests: Triton's health has no TLS there, and no key."""
    connection = http.client.HTTPConnection(host, port, timeout=_ANSWER_S)
    try:
        connection.request("GET", "/v2/health/ready")
        ready = connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        ready = False
    finally:
        connection.close()
    if not ready:
        time.sleep(_KNOCK_S)
    return ready
