"""Runs uv, which resolves and installs for Pythons other than this one."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from scripts.errors import ScriptError

#: Seconds for the slowest step, a download of all dependencies over a slow connection.
LONGEST_STEP_S = 1200

#: What would let a cell see the checkout, or the environment that this runs in, in place of the wheel.
_MISLEADING = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")


def search_path() -> str:
    """PATH, with each Python that pyenv has before it: pyenv's own commands answer for the chosen version only."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    return os.pathsep.join([*map(str, sorted(pyenv.glob("versions/*/bin"))), os.environ.get("PATH", os.defpath)])


def clean_environment() -> dict[str, str]:
    """The environment that cells are made and run in."""
    kept = {name: value for name, value in os.environ.items() if name not in _MISLEADING}
    return kept | {"PATH": search_path(), "UV_PYTHON_DOWNLOADS": "never"}


def completed(command: Sequence[str], folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """A command's end, whether well or not; ScriptError if it doesn't come to one."""
    try:
        return subprocess.run(
            command,
            cwd=folder,
            env=clean_environment(),
            capture_output=True,
            text=True,
            timeout=LONGEST_STEP_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ScriptError(f"{' '.join(command[:4])} … isn't done after {LONGEST_STEP_S} s") from error


def run(command: Sequence[str], folder: Path | None = None) -> str:
    """What a command prints; ScriptError with its last lines if it fails."""
    done = completed(command, folder)
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()
        raise ScriptError("\n".join([f"{' '.join(command[:4])} … failed", *said[-30:]]))
    return done.stdout


def uv(*arguments: str, folder: Path | None = None) -> str:
    """What uv prints; ScriptError if it fails, or isn't there."""
    found = shutil.which("uv")
    if found is None:
        raise ScriptError("uv isn't there, which makes the environments; install it: python -m pip install uv")
    return run([found, *arguments], folder)


def find_python(version: str) -> Path | None:
    """The interpreter of that version, such as 3.12, if this machine has one."""
    try:
        return Path(uv("python", "find", "--no-project", version).strip())
    except ScriptError as error:
        if "No interpreter found" in error.message:
            return None
        raise
