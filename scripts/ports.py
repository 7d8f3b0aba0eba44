"""Addresses and ports of a server, and whether they are free."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterator
from dataclasses import dataclass

from scripts.errors import ServerError

LOOPBACK = "127.0.0.1"
EVERYWHERE = "0.0.0.0"  # noqa: S104  only where a user asks for it


@dataclass(frozen=True)
class Ports:
    """Ports of the three protocols; 0 takes a free one."""

    grpc: int = 0
    http: int = 0
    metrics: int = 0

    def chosen(self, address: str = LOOPBACK, http: str | None = None, metrics: str | None = None) -> Ports:
        """The same with a port free at these addresses for every 0; ServerError if one that is given is taken.

        HTTP and metrics are at `address` unless told otherwise.
        """
        wanted = ((address, self.grpc), (http or address, self.http), (metrics or address, self.metrics))
        with contextlib.ExitStack() as stack:  # all held until all are chosen, so that no two are the same
            sockets = [stack.enter_context(_bound(*each)) for each in wanted]
            return Ports(*(bound.getsockname()[1] for bound in sockets))


def reachable(address: str) -> str:
    """Where a server that listens at an address is reached from this machine."""
    return LOOPBACK if address == EVERYWHERE else address


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches an IPv4 address."""
    return address.startswith("127.")


@contextlib.contextmanager
def _bound(address: str, port: int) -> Iterator[socket.socket]:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise ServerError(
                    f"can't listen at {address} ({error.strerror}); give one of its IPv4 addresses"
                ) from error
            raise ServerError(
                f"port {port} can't be used ({error.strerror}); choose another, or 0 for a free one"
            ) from error
        yield probe
