"""Reads TOML files that a user wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from loadtest.errors import LoadTestError


def read_toml(path: Path) -> dict[str, Any]:
    """The file's content; LoadTestError if it can't be read."""
    try:
        return tomlkit.parse(path.read_text(encoding="utf-8")).unwrap()
    except OSError as error:
        raise LoadTestError(f"{path} can't be read: {error.strerror}") from error
    except (TOMLKitError, UnicodeDecodeError) as error:
        raise LoadTestError(f"{path} isn't TOML: {error}") from error
