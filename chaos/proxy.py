"""A network between a client and a server that is as slow as one wants, or swallows everything."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from types import TracebackType

_CHUNK = 16 * 1024
_POLL_S = 0.01


class Proxy:
    """Passes TCP connections on to a port of this machine, from `with` to its end; settings may change meanwhile.

    `bytes_per_s` holds for each direction of each connection, `delay_s` for each piece that is passed on. While
    `stalled`, nothing is passed on, and connections stay open: a black hole.
    """

    def __init__(self, port: int) -> None:
        self.bytes_per_s = float("inf")
        self.delay_s = 0.0
        self.stalled = False
        self._target = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Proxy:
        self._thread.start()
        listening = asyncio.start_server(self._connected, "127.0.0.1", 0)
        self._server = asyncio.run_coroutine_threadsafe(listening, self._loop).result(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    @property
    def url(self) -> str:
        """Where to connect to instead."""
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self._target)
            for source, sink in ((reader, to_writer), (to_reader, writer)):
                task = asyncio.ensure_future(self._pass_on(source, sink))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError), contextlib.closing(writer):
            while piece := await reader.read(_CHUNK):
                await asyncio.sleep(self.delay_s + len(piece) / self.bytes_per_s)
                while self.stalled:
                    await asyncio.sleep(_POLL_S)
                writer.write(piece)
                await writer.drain()

    async def _end(self) -> None:
        self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
