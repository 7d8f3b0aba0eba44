"""A real HTTP server of files on a free port, that can be told to misbehave, one request after the other."""

from __future__ import annotations

import contextlib
import hashlib
import re
import socket
import struct
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TAG = "the file's own"
LONG_AGO = "Mon, 01 Jan 2024 00:00:00 GMT"


@dataclass(frozen=True)
class Answer:
    """How a request is answered; by default as a good server does.

    `drop_after`, `stall_after` and `drip_after` are bytes of the body after which the connection is closed, nothing
    more comes, or the rest comes a byte at a time. A `length` of None sends no Content-Length.
    """

    body: bytes = b""
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    etag: str | None = TAG
    modified: str | None = LONG_AGO
    ranges: bool = True
    if_range: bool = True
    length: int | None = -1
    chunked: bool = False
    drop_after: int | None = None
    reset: bool = False
    stall_after: int | None = None
    drip_after: int | None = None

    @property
    def tag(self) -> str | None:
        return f'"{hashlib.md5(self.body).hexdigest()}"' if self.etag == TAG else self.etag


@dataclass(frozen=True)
class Request:
    """What a client asked for."""

    path: str
    range: str | None
    if_range: str | None
    authorization: str | None
    accept_encoding: str | None


class FileServer:
    """Serves `answer` to every request, but first the answers of `script`, each once."""

    def __init__(self) -> None:
        self.answer = Answer()
        self.script: deque[Answer] = deque()
        self.requests: list[Request] = []
        self.stalled = threading.Event()
        self.released = threading.Event()
        server = self

        class Handler(_Handler):
            files = server

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def serves(self, body: bytes, **how: Any) -> None:
        """From now on, this file."""
        self.answer = Answer(body, **how)

    def first(self, **how: Any) -> None:
        """Once, before all else, the file in another way; calls add up."""
        self.script.append(replace(self.answer, **how))

    @property
    def ranges(self) -> list[str | None]:
        """The Range of each request so far."""
        return [request.range for request in self.requests]

    def stop(self) -> None:
        """Nothing is left running."""
        self.released.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


@contextlib.contextmanager
def file_server() -> Iterator[FileServer]:
    """A server that is stopped at the end."""
    server = FileServer()
    try:
        yield server
    finally:
        server.stop()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    files: FileServer

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        others = (self.headers.get(name) for name in ("If-Range", "Authorization", "Accept-Encoding"))
        request = Request(self.path, wanted, *others)
        self.files.requests.append(request)
        answer = self.files.script.popleft() if self.files.script else self.files.answer
        self.close_connection = True
        start = self._start(answer, wanted)
        total = len(answer.body)
        status = answer.status or (200 if start is None else 206 if start < total else 416)
        body = b"" if status == 416 else answer.body[start or 0 :]
        self.send_response(status)
        for name, value in self._headers(answer, status, body, start).items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self._send(answer, body)

    def _start(self, answer: Answer, wanted: str | None) -> int | None:
        """Where a partial answer begins; None if it isn't one."""
        same = self.headers.get("If-Range") in (None, answer.tag, answer.modified)
        found = re.fullmatch(r"bytes=(\d+)-", wanted or "")
        return int(found[1]) if answer.ranges and found and (same or not answer.if_range) else None

    def _headers(self, answer: Answer, status: int, body: bytes, start: int | None) -> dict[str, str]:
        headers = {"Connection": "close"}
        if status == 206:
            headers["Content-Range"] = f"bytes {start or 0}-{len(answer.body) - 1}/{len(answer.body)}"
        if answer.tag:
            headers["ETag"] = answer.tag
        if answer.modified:
            headers["Last-Modified"] = answer.modified
        if answer.chunked:
            headers["Transfer-Encoding"] = "chunked"
        elif answer.length is not None:
            headers["Content-Length"] = str(len(body) if answer.length < 0 else answer.length)
        return headers | answer.headers

    def _send(self, answer: Answer, body: bytes) -> None:
        stops = [stop for stop in (answer.drop_after, answer.stall_after, answer.drip_after) if stop is not None]
        end = min(stops, default=len(body))
        self._write(answer, body[:end])
        if answer.stall_after is not None:
            self.files.stalled.set()
            self.files.released.wait(60)
        if answer.drip_after is not None:
            for byte in body[end:]:
                self._write(answer, bytes([byte]))
                if self.files.released.wait(0.005):
                    return
        if answer.reset:
            # Closing with this option set sends a reset instead of an orderly end.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        elif answer.chunked and answer.drop_after is None:
            self.wfile.write(b"0\r\n\r\n")

    def _write(self, answer: Answer, body: bytes) -> None:
        if body:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(body), body) if answer.chunked else body)

    def log_message(self, *_: object) -> None:
        """Nothing: the tests' output is theirs."""
