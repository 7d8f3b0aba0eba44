"""What a server has cost: seconds of a core."""

from __future__ import annotations

import contextlib

import psutil

from scripts.zoo.memory import tree


def cpu_s(pid: int) -> float:
    """Seconds of a core that the process, and what it has started, have used so far."""
    spent_s = 0.0
    for process in tree(pid):
        with contextlib.suppress(psutil.Error):  # it has ended
            times = process.cpu_times()
            spent_s += times.user + times.system
    return spent_s
