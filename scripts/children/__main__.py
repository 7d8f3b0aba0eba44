"""The child's side: ties its life to the parent's, then does the work."""

from __future__ import annotations

import ctypes
import importlib
import os
import signal
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> None:
    """Arguments: the parent's process id, the work, and the paths that the work takes."""
    parent, work, *paths = sys.argv[1:]
    _die_with(int(parent))
    importlib.import_module(f"scripts.children.{work}").main(*map(Path, paths))


def _die_with(parent: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the parent ended before its child began")


if __name__ == "__main__":
    main()
