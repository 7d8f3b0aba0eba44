"""What the bench takes for the least that a server must spend is a real server that answers, with nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench import floor
from bench.pacing import Duration
from scripts import in_process


def test_steps_that_do_nothing_answer_with_zeros_and_compile_without_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_process, "_FLAGS", (*in_process._FLAGS, "-Werror"))
    with floor.idle() as idle:
        for (_, batch), request in idle.requests.items():
            np.testing.assert_array_equal(request.probabilities(), np.zeros((batch, 1000), np.float32))
        assert idle.requests["images", 8].pace(2, Duration(0, 0.2)).per_s > 0


def test_without_a_c_compiler_one_line_says_so(tmp_path: Path, root: Path) -> None:
    bare = {name: value for name, value in os.environ.items() if name != in_process.COMPILED}
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--only", "floor"],
        check=False,
        env=bare | {"CC": str(tmp_path / "cc")},
        cwd=root,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1] == (
        f"Error: floor can't be measured: {tmp_path}/cc can't be run: "
        f"[Errno 2] No such file or directory: '{tmp_path}/cc'"
    )
