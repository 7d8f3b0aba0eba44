"""Processes of Python backends that have died: Triton starts none of them again, and calls itself ready all the same.

Each instance of a Python backend is a process ("stub") of tritonserver's. When one is killed, as by the kernel where
memory runs out, the requests that Triton hands to its instance fail for ever, each after a second.
"""

from __future__ import annotations

import contextlib

import click
import psutil

from scripts.errors import ServerError
from tritonclas.cli import example

#: Names of processes as Linux keeps them, 15 characters.
STUB, SERVER = "triton_python_b", "tritonserver"


@click.command(epilog=example("python -m scripts.stubs"))
def main() -> None:
    """Exit with status 1 if a backend's process of a tritonserver on this machine, or in this container, has died.

    A liveness probe for a tritonserver that runs without scripts.serve, which looks by itself.
    """
    servers = [process.pid for process in psutil.process_iter() if _is(process, SERVER)]
    if not servers:
        raise ServerError("no tritonserver runs here")
    if count := sum(map(dead, servers)):
        raise ServerError(f"{count} of the backends' processes have died; Triton doesn't start them again, restart it")


def dead(server: int) -> int:
    """How many stubs of the tritonserver with this process id have ended: it never asks for their exit status."""
    with contextlib.suppress(psutil.Error):
        children = psutil.Process(server).children()
        return sum(_is(process, STUB) and _ended(process) for process in children)
    return 0


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
