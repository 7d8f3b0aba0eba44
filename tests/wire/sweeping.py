"""Runs the sweep as its user does, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.wire.slow_servicer import MODEL, SlowServicer, serving

ROOT = Path(__file__).parents[2]
USERS = 8


def command(url: str, **options: str) -> list[str]:
    given = {
        "models": MODEL,
        "batch_sizes": "1",
        "users": str(USERS),
        "duration": "0.5",
        "warm_up": "0.3",
    } | options
    words = [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", *value.split())]
    return [sys.executable, "-m", "loadtest.sweep", "--url", url, *words]


def run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def sweep(servicer: SlowServicer, out: Path, **options: str) -> subprocess.CompletedProcess[str]:
    with serving(servicer) as url:
        return run(command(url, out=str(out), **options))


def results(out: Path) -> dict:
    return json.loads((out / "results.json").read_text())


def wait_until(condition: Callable[[], bool], limit_s: float = 60) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)
