"""Processes of Python backends that have died: Triton starts none of them again, and calls itself ready all the same.

Each instance of a Python backend is a process ("stub") of tritonserver's. When one is killed, as by the kernel where
memory runs out, the requests that Triton hands to its instance fail for ever, each after a second.
"""

from __future__ import annotations

import contextlib
import re
import time
from pathlib import Path

import psutil

#: The name of the processes as Linux keeps it, 15 characters.
STUB = "triton_python_b"

_REGION = re.compile(r"/dev/shm/triton_\w+_shm_region_[0-9a-f-]+")  # noqa: S108  Triton's own

#: An unloaded model's were seen to stay for 0.8 s on a busy machine.
_SURE_S = 3.0


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


def regions(server: int) -> list[Path]:
    """The shared memory that the tritonserver with this process id has for its stubs; killed, it leaves that behind."""
    with contextlib.suppress(OSError):
        maps = Path(f"/proc/{server}/maps").read_text(encoding="utf-8")
        return [Path(path) for path in sorted(set(_REGION.findall(maps)))]
    return []


def _ended_stubs(server: int) -> list[int]:
    with contextlib.suppress(psutil.Error):
        return [process.pid for process in psutil.Process(server).children() if _is_ended_stub(process)]
    return []


def _is_ended_stub(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.name().startswith(STUB) and process.status() == psutil.STATUS_ZOMBIE
    return False
