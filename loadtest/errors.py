"""What goes wrong in a load test, as one line that says what to do."""

from __future__ import annotations

from scripts.errors import ScriptError


class LoadTestError(ScriptError):
    """The load test can't be run as it was asked for, or its results can't be kept or read."""
