"""Files that other programs read while we write them."""

from __future__ import annotations

import os
from pathlib import Path

from scripts.errors import ScriptError


def write_whole(path: Path, text: str) -> None:
    """Write a file, and its folder, so that a reader sees the old text or the new one, never a part.

    ScriptError if it can't be written; then nothing is left behind.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch.write_text(text, encoding="utf-8")
        scratch.replace(path)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> ScriptError:
    """What the user is told when `path` can't be written."""
    return ScriptError(f"{path} can't be written ({error.strerror or error}); make room there, or choose another place")
