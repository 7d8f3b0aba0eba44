"""Requests that are compressed: fewer bytes on the way, the same answers."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from tritonclas import Classifier, InvalidRequest

Connect = Callable[..., Classifier]


class CountingProxy:
    """Hands bytes on to a server, and counts those that come from its clients."""

    def __init__(self, url: str) -> None:
        self.received = 0
        self._server = url.rpartition(":")
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection((self._server[0], int(self._server[2])))
                for here, there, counted in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self._hand_on, args=(here, there, counted), daemon=True).start()

    def _hand_on(self, here: socket.socket, there: socket.socket, counted: bool) -> None:
        with contextlib.suppress(OSError), here, there:
            while content := here.recv(65536):
                self.received += len(content) * counted
                there.sendall(content)


@pytest.fixture
def proxy(url: str) -> Iterator[CountingProxy]:
    """Between a client and the scripted server."""
    made = CountingProxy(url)
    yield made
    made.close()


@pytest.mark.parametrize(("compression", "most"), [(None, 250_000), ("gzip", 20_000), ("deflate", 20_000)])
def test_bytes_on_the_way(connect: Connect, proxy: CountingProxy, compression: Any, most: int) -> None:
    client = connect(proxy.url, preprocess="client", compression=compression)
    assert client.classify(np.full((300, 300, 3), 7, np.uint8)).top.index == 7
    assert (0 if compression else 224 * 224 * 3) < proxy.received < most


def test_there_are_two_kinds(connect: Connect, url: str) -> None:
    with pytest.raises(InvalidRequest, match="compression is 'zip'; it must be None, 'deflate' or 'gzip'"):
        connect(url, compression="zip")
