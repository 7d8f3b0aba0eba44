"""The README's Python runs, on the real server."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.test_documentation import README, ROOT

BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_python_in_the_readme_runs(block, server, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    assert Path("examples").is_dir()
    exec(block.replace("localhost:8001", server.url), {})
    assert "cat" in capsys.readouterr().out
