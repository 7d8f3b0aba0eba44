"""Messages between the sweep and the processes that make its load: msgpack over a socket."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import msgpack

_RECEIVE_BYTES = 2**18

#: A load's pictures are one message.
_MOST_BYTES = 2**30

Message = dict[str, Any]


class Frames:
    """One end of the connection. Closed by whoever leaves first, which ends the other's iteration."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._sending = threading.Lock()  # a long message is sent in parts
        self._unpacker = msgpack.Unpacker(max_buffer_size=_MOST_BYTES)

    def fileno(self) -> int:
        """For `selectors`."""
        return self.connection.fileno()

    def send(self, **message: Any) -> None:
        """Send a message; OSError if the other end is gone."""
        with self._sending:
            self.connection.sendall(msgpack.packb(message))

    def receive(self) -> list[Message]:
        """The messages that have arrived, at least a part of one if need be after a wait; EOFError at the end."""
        received = self.connection.recv(_RECEIVE_BYTES)
        if not received:
            raise EOFError
        self._unpacker.feed(received)
        return list(self._unpacker)

    def __iter__(self) -> Iterator[Message]:
        while True:
            try:
                yield from self.receive()
            except (EOFError, ConnectionError):
                return

    def close(self) -> None:
        """Hang up."""
        self.connection.close()
