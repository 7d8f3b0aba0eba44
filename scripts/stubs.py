"""Processes of Python backends that have died: Triton starts none of them again, and says that it is ready all the same.

Each instance of a Python backend is a process ("stub") of tritonserver's. When one is killed, as by the kernel where memory
runs out, the requests that Triton hands to its instance fail for ever, each after a second.
"""

from __future__ import annotations

import contextlib

import psutil

#: The name as Linux keeps it, 15 characters of it.
STUB = "triton_python_b"


def dead(server: int) -> int:
    """How many stubs of the tritonserver with this process id have ended: it never asks for their exit status."""
    count = 0
    with contextlib.suppress(psutil.Error):
        for process in psutil.Process(server).children():
            with contextlib.suppress(psutil.Error):
                count += process.name().startswith(STUB) and process.status() == psutil.STATUS_ZOMBIE
    return count
