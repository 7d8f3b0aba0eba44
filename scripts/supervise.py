"""A tritonserver is kept until it is told to end, or one of its backends' processes has died."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence

import click

from scripts import processes, stubs
from scripts.errors import ServerError
from scripts.processes import Terminated

#: Between looks at the backends' processes: each look reads all of the machine's.
_LOOK_S = 1.0
#: It was done, or told to end before it had anything to do.
_IN_ORDER = (0, -signal.SIGTERM)
#: A tritonserver has so much longer to end than its requests.
SLACK_S = 5


def run(command: Sequence[str], exit_timeout_s: int) -> None:
    """Start a tritonserver with this one's outputs, and stay until the end, as `wait_for_end`."""
    process = processes.start(command, os.environ, output=None)
    try:
        wait_for_end(process)
    finally:
        processes.stop(process, exit_timeout_s + SLACK_S)
    if process.returncode not in _IN_ORDER:
        raise ServerError(f"tritonserver didn't end in order, but with status {process.returncode}; its log is above")


def wait_for_end(tritonserver: subprocess.Popen[str]) -> None:
    """Return when Ctrl-C or SIGTERM comes; ServerError if it, or one of its backends' processes, ends by itself.

    Then all of it ends, for whoever started this command to start it again.
    """
    watch = stubs.Watch(tritonserver.pid)
    try:
        while tritonserver.poll() is None:
            if watch.dead():
                kill(tritonserver)  # told to end, it would wait for what the dead one had to do, until it gives up
                raise ServerError("a backend's process has died, and Triton doesn't start it again; start this anew")
            with contextlib.suppress(subprocess.TimeoutExpired):
                tritonserver.wait(_LOOK_S)
    except (KeyboardInterrupt, Terminated):
        click.echo("stopping", err=True)
        return
    raise ServerError(f"tritonserver ended with status {tritonserver.returncode}; its own log is above")


def kill(tritonserver: subprocess.Popen[str]) -> None:
    """End it at once, without leaving its shared memory behind."""
    left_behind = stubs.regions(tritonserver.pid)
    tritonserver.kill()
    tritonserver.wait()
    for region in left_behind:
        region.unlink(missing_ok=True)
