"""Runs click's commands in the tests' own process, whichever version of click is there."""

from __future__ import annotations

import inspect
from typing import Any

from click.testing import CliRunner


def command_runner() -> CliRunner:
    """A runner that keeps stdout and stderr apart.

    click 8.1 mixes them unless it is told not to; from 8.2 on they are always apart, and the option is gone.
    """
    apart: dict[str, Any] = {"mix_stderr": False} if "mix_stderr" in inspect.signature(CliRunner).parameters else {}
    return CliRunner(**apart)
