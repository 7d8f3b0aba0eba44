"""On which machine, with which versions and when something was seen: the head of a page."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from importlib import metadata

from loadtest.device import processor


def setting(packages: Iterable[str]) -> dict[str, str]:
    """That of now."""
    return {
        "machine": f"{processor()}, {os.cpu_count()} cores; {platform.system()}, Python {platform.python_version()}",
        "versions": ", ".join(f"{name} {metadata.version(name)}" for name in packages),
        "date": datetime.now(timezone.utc).date().isoformat(),
    }


def is_same(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Whether the machine and the versions are, so that figures may stand beside each other."""
    return all(one.get(name) == other.get(name) for name in ("machine", "versions"))
