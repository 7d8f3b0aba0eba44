"""What the server runs on, as far as it can be known from here."""

from __future__ import annotations

import ipaddress
import os
import platform
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")


def device_at(url: str) -> str:
    """This machine's CPU and how many cores it has if the server at `url` (HOST:PORT) is here, else "unknown"."""
    return f"{processor()}, {os.cpu_count()} cores" if is_loopback(url) else "unknown"


def is_loopback(url: str) -> bool:
    """True if HOST of `url` (HOST:PORT) can only be this machine."""
    host = url.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def processor() -> str:
    """The name of this machine's CPU."""
    try:
        lines = _CPUINFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, "") or platform.machine()
