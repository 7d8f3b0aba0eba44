"""Where all commands show their progress: one console, because two live displays would write over each other."""

from __future__ import annotations

from tritonclas._tables import plain_console

progress_console = plain_console(stderr=True)
