"""The tests of the backend for OpenVINO, in a process of their own.

Where OpenVINO has computed, a signal whose handler raises ends CPython 3.11 with a segmentation fault, and others of
the project's tests send themselves such signals.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_in_a_process_of_their_own(root: Path) -> None:
    tests = Path(__file__).with_name("openvino_backend.py")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tests)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout
    assert "7 passed" in done.stdout
