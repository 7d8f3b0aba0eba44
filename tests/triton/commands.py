"""Commands run as a user runs them, and what they leave behind."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]


def run(*arguments: object, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    """A command of the project, to its end: `-m scripts.populate …`."""
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False)


@contextlib.contextmanager
def started(*arguments: object, env: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """A command under way; killed at the end if the test didn't end it."""
    command = [sys.executable, *map(str, arguments)]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def read_until(process: subprocess.Popen[str], pattern: str) -> re.Match[str]:
    """The first line of output that matches; AssertionError with all output if it ends before."""
    lines = []
    assert process.stdout
    for line in process.stdout:
        lines.append(line)
        if match := re.search(pattern, line):
            return match
    raise AssertionError("".join(lines))


def wait_for(condition: Callable[[], object], limit_s: float = 60) -> None:
    """Poll until the condition holds."""
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "the condition didn't come true in time"
        time.sleep(0.01)


def interrupt(process: subprocess.Popen[str], number: signal.Signals = signal.SIGINT) -> int:
    """Send a signal, and return the exit status; AssertionError if anything that it started outlives it."""
    descendants = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    process.communicate(timeout=60)
    _, alive = psutil.wait_procs(descendants, timeout=15)
    assert not alive
    return process.returncode
