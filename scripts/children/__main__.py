"""The child's side: ties its life to the parent's, then does the work."""

from __future__ import annotations

import importlib
import signal
import sys
from pathlib import Path

from scripts.processes import die_with


def main() -> None:
    """Arguments: the parent's process id, the work, and the paths that the work takes."""
    parent, work, *paths = sys.argv[1:]
    die_with(int(parent), signal.SIGKILL)
    importlib.import_module(f"scripts.children.{work}").main(*map(Path, paths))


if __name__ == "__main__":
    main()
