"""Work that is done in a process of its own: Paddle may abort, it is chatty, and it keeps the memory it took.

python -m scripts.children PARENT WORK ARGUMENT...  is what `run_child` starts; it isn't a command for people.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_LAST_LINES = 3
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class ChildFailed(Exception):
    """A child process ended without success; the message is how it ended and the last lines it wrote."""


def run_child(work: str, *arguments: Path, scratch: Path) -> None:
    """Runs `main(*arguments)` of `scripts.children.<work>` in another process, and waits for it.

    Links aren't followed in the paths that it is given: Paddle tells formats by the endings of names. What it writes is
    captured; its temporary files go to `scratch`. It ends with this process at the latest. ChildFailed if it doesn't
    succeed.
    """
    command = [sys.executable, "-m", __name__, str(os.getpid()), work, *(str(path.absolute()) for path in arguments)]
    finished = subprocess.run(
        command,
        cwd=_ROOT,
        env={**os.environ, "TMPDIR": str(scratch.resolve())},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if finished.returncode != 0:
        raise ChildFailed(_ending(finished.returncode) + _last_lines(finished.stdout.decode(errors="replace")))


def _ending(status: int) -> str:
    return f"it was ended by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"


def _last_lines(output: str) -> str:
    """The last lines in one, since an error message is one line."""
    lines = [line.strip() for line in _COLOURS.sub("", output).splitlines() if line.strip()]
    return "; its last lines: " + " | ".join(lines[-_LAST_LINES:]) if lines else "; it wrote nothing"
