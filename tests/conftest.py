"""Fixtures and settings that all rings share."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's folder."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def examples(root: Path) -> dict[str, Path]:
    """The example pictures by name: cat, espresso, rocket."""
    return {path.stem: path for path in sorted((root / "examples").glob("*.jpg"))}
