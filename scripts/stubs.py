"""Processes of Python backends that have died: Triton starts none of them again, and calls itself ready all the same.

Each instance of a Python backend is a process ("stub") of tritonserver's. When one is killed, as by the kernel where
memory runs out, the requests that Triton hands to its instance fail for ever, each after a second.
"""

from __future__ import annotations

import contextlib
import time

import click
import psutil

from scripts.errors import ServerError
from scripts.health import live_over_http
from scripts.ports import LOOPBACK
from tritonclas.cli import example

#: Names of processes as Linux keeps them, 15 characters.
STUB, SERVER = "triton_python_b", "tritonserver"

#: An unloaded model's were seen to stay for 0.8 s on a busy machine.
_SURE_S = 3.0
_LIVE_S = 4.0


@click.command(epilog=example("python -m scripts.stubs --http-port 8000"))
@click.option("--http-port", type=click.IntRange(1, 65535), help="Where Triton must also say that it is live.")
def main(http_port: int | None) -> None:
    """Exit with status 1 if a backend's process of a tritonserver on this machine, or in this container, has died.

    A liveness probe for a tritonserver that runs without scripts.serve, which looks by itself.
    """
    if http_port and not live_over_http(LOOPBACK, http_port, _LIVE_S):
        raise ServerError(f"Triton doesn't answer at port {http_port} within {_LIVE_S:g} s; restart it")
    watches = [Watch(process.pid) for process in psutil.process_iter() if _is(process, SERVER)]
    if not watches:
        raise ServerError("no tritonserver runs here")
    if any(watch.look() for watch in watches):
        time.sleep(_SURE_S)
    if count := sum(watch.dead() for watch in watches):
        raise ServerError(f"{count} of the backends' processes have died; Triton doesn't start them again, restart it")


class Watch:
    """Looks at the stubs of the tritonserver with this process id.

    It never asks for the exit status of one that was killed. Of one that it has ended itself, with a model that was
    unloaded, it does, but a moment later.
    """

    def __init__(self, server: int) -> None:
        self._server = server
        self._since: dict[int, float] = {}

    def dead(self) -> int:
        """How many have been dead for some seconds, as far as this and earlier looks tell."""
        before_s = time.monotonic() - _SURE_S
        return sum(since_s <= before_s for since_s in self.look().values())

    def look(self) -> dict[int, float]:
        """Since when (monotonic clock) those that have ended were seen to have, by process id."""
        now_s = time.monotonic()
        self._since = {pid: self._since.get(pid, now_s) for pid in _ended_stubs(self._server)}
        return self._since


def _ended_stubs(server: int) -> list[int]:
    with contextlib.suppress(psutil.Error):
        children = psutil.Process(server).children()
        return [process.pid for process in children if _is(process, STUB) and _ended(process)]
    return []


def _is(process: psutil.Process, name: str) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.name().startswith(name)
    return False


def _ended(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.status() == psutil.STATUS_ZOMBIE
    return False


if __name__ == "__main__":
    main()
