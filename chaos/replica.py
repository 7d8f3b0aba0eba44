"""A server that ends before its time, and comes back at the same ports."""

from __future__ import annotations

import time
from dataclasses import replace
from types import TracebackType

from scripts.embedded import EmbeddedServer


class Replica:
    """Runs from `with` to its end, but for what is done to it in between."""

    def __init__(self, server: EmbeddedServer) -> None:
        self._server = server

    def __enter__(self) -> Replica:
        self._server.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._server.stop()

    @property
    def url(self) -> str:
        """Its gRPC endpoint, always the same."""
        return self._server.url

    @property
    def pid(self) -> int:
        """Of the process that runs now, or ran last."""
        return self._server.process.pid

    def kill(self) -> None:
        """SIGKILL, as when memory runs out, and what an operating system's end would leave is gone."""
        self._server.process.kill()
        self._server.stop()

    def drain(self) -> float:
        """SIGTERM, and wait for the end; the seconds that it took."""
        begin_s = time.monotonic()
        self._server.stop()
        return time.monotonic() - begin_s

    def start(self) -> float:
        """Start it again; seconds until it was ready."""
        begin_s = time.monotonic()
        self._server = replace(self._server)
        self._server.__enter__()
        return time.monotonic() - begin_s
