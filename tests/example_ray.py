"""examples/ray_data.py as its user runs it, with a home and temporary files of its own, and what is left of it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pyarrow.dataset

from tests.triton.commands import started, wait_for


@contextlib.contextmanager
def ray_job(folder: Path, out: Path, **options: object) -> Iterator[subprocess.Popen[str]]:
    """The example under way, on two processors. AssertionError if a process of its Ray outlives it."""
    words = [f"--{name.replace('_', '-')}={value}" for name, value in {"cpus": 2, **options}.items()]
    # Directly under /tmp, since Ray puts sockets there, whose paths may have 107 characters. Ray keeps a token in HOME.
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as own:
        environment = os.environ | {"RAY_TMPDIR": own, "HOME": own}
        with started("examples/ray_data.py", folder, out, *words, env=environment) as process:
            try:
                yield process
                wait_for(lambda: not in_session(process.pid), 30)
            finally:
                for each in in_session(process.pid):
                    each.kill()


def in_session(leader: int) -> list[psutil.Process]:
    """The running processes of a session: a job is one, with all that its Ray starts."""
    found = []
    for each in psutil.process_iter():
        with contextlib.suppress(OSError, psutil.NoSuchProcess):
            if os.getsid(each.pid) == leader and each.status() != psutil.STATUS_ZOMBIE:
                found.append(each)
    return found


def rows_in(out: Path) -> list[dict[str, Any]]:
    """The rows of all Parquet files, in their order."""
    return pyarrow.dataset.dataset(out).to_table().to_pylist()
