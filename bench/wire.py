"""One HTTP request, made beforehand, sent again and again over raw sockets: next to nothing of the server's cores.

    python -m bench.wire PORT CLIENTS WARM_UP_S SECONDS LEAST < REQUEST

A thread for each client, with a connection of its own; an answer's status is checked, and its body read to the end. An
answer with the head and the size of the one before, as most are, needn't be taken apart.
Prints the pace of the requests as JSON. Only the standard library is needed, so it starts at once.
"""

from __future__ import annotations

import json
import socket
import sys
from dataclasses import asdict
from functools import partial
from types import TracebackType
from typing import NamedTuple

from bench.pacing import Duration, pace

LOOPBACK = "127.0.0.1"
_TIMEOUT_S = 120
_CHUNK = 1 << 16
_BLANK_LINE = b"\r\n\r\n"


class Head(NamedTuple):
    """What an answer begins with: its status, and how long it is, head and body."""

    status: int
    size: int


def head(received: bytes) -> Head | None:
    """The head of an answer; None as long as it isn't there in full. ValueError if it doesn't say the body's length."""
    text, blank, _ = received.partition(_BLANK_LINE)
    if not blank:
        return None
    status, *lines = text.split(b"\r\n")
    for line in lines:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return Head(int(status.split(None, 2)[1]), len(text) + len(blank) + int(value))
    raise ValueError(f"an answer without Content-Length: {text!r}")


class Connection:
    """A kept connection to a server on this machine."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection((LOOPBACK, port), _TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._last_head, self._last_size = b"", 0

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._socket.close()

    def ask(self, request: bytes) -> bytes:
        """The answer's body; ConnectionError if the status isn't 200, or the server hangs up."""
        self._socket.sendall(request)
        received = self._more()
        if len(received) == self._last_size and received.startswith(self._last_head):
            return received[len(self._last_head) :]
        while (begun := head(received)) is None:
            received += self._more()
        parts, missing = [received], begun.size - len(received)
        while missing > 0:
            parts.append(self._more())
            missing -= len(parts[-1])
        text, blank, body = b"".join(parts).partition(_BLANK_LINE)
        if begun.status != 200:
            raise ConnectionError(f"status {begun.status}: {body[:300]!r}")
        self._last_head, self._last_size = text + blank, begun.size
        return body

    def _more(self) -> bytes:
        if received := self._socket.recv(_CHUNK):
            return received
        raise ConnectionError("the server closed the connection")


def main() -> None:
    """Closed loop: a client sends its next request when the last one is answered."""
    port, clients, warm_up_s, measured_s, least = sys.argv[1:]
    request = sys.stdin.buffer.read()
    connections = [Connection(int(port)) for _ in range(int(clients))]
    duration = Duration(float(warm_up_s), float(measured_s), int(least))
    print(json.dumps(asdict(pace([partial(each.ask, request) for each in connections], duration))))


if __name__ == "__main__":
    main()
