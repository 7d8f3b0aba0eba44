"""The report: measured cells beside the published figures, as `report.md`, `report.html` and for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from loadtest.report.document import document
from loadtest.report.markdown import markdown
from loadtest.report.runs import runs_of
from loadtest.report.terminal import table
from loadtest.results import Results, write_whole

__all__ = ["FILES", "table", "write", "write_all"]

#: What `write` writes.
FILES = ("report.md", "report.html")


def write(results: Results, folder: Path) -> None:
    """Put the report of a sweep into the folder; who reads a file of it sees the old one or the new one."""
    write_all([results], folder)


def write_all(every: Sequence[Results], folder: Path) -> None:
    """The same of several sweeps side by side, such as those of several profiles."""
    from loadtest.report.html import html  # noqa: PLC0415  draws, and Matplotlib takes a second to load

    shown = document(runs_of(every))
    for name, text in zip(FILES, (markdown(shown, figures_in=FILES[1]), html(shown)), strict=True):
        write_whole(folder / name, text)
