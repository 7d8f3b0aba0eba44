"""A program of a user's is checked against the wheel's types, as a user's type checker sees them."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import tritonclas
from tests.wheel.conftest import said

PROGRAM = Path(__file__).with_name("typed_user.py")


def test_a_users_program_is_checked(installed: Path, outside: Path) -> None:
    """What must be right is; each wrong use is an error, or its `type: ignore` would be one (--strict)."""
    program = shutil.copy(PROGRAM, outside)
    options = ("--strict", "--config-file=", f"--cache-dir={outside / 'cache'}", "--python-executable")
    said(sys.executable, "-m", "mypy", *options, installed / "python", program, folder=outside)


def test_the_program_uses_every_public_name() -> None:
    words = set(re.findall(r"\w+", PROGRAM.read_text(encoding="utf-8")))
    assert set(tritonclas.__all__) <= words
