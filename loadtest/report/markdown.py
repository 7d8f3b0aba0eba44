"""The report as a Markdown document, in GitHub's flavour."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from loadtest.report.document import FIGURES, Document, Section
from loadtest.report.grid import Column, Entry, Grid
from loadtest.report.remarks import Remark

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|~#])")


def markdown(document: Document, figures_in: str) -> str:
    """The document; the figures are in the file `figures_in`, which it links."""
    return "\n\n".join(_parts(document, figures_in)) + "\n"


def _parts(document: Document, figures_in: str) -> Iterator[str]:
    yield f"# {document.title}"
    yield escaped(document.lead)
    yield f"The figures are in [{figures_in}]({figures_in}); the numbers in both are the same."
    for section in document.sections:
        yield from _section(section, figures_in)


def _section(section: Section, figures_in: str) -> Iterator[str]:
    yield f"{'#' * section.level} {escaped(section.title)}"
    yield from map(escaped, section.text)
    if section.id == FIGURES:
        yield f"They are in [{figures_in}]({figures_in}#{section.id})."
    for grid in section.grids:
        yield from _grid(grid, titled=len(section.grids) > 1)
    if section.remarks:
        yield "\n".join(map(_remark, section.remarks))


def _grid(grid: Grid, *, titled: bool) -> Iterator[str]:
    if titled:
        yield f"**{escaped(grid.caption)}**"
    rows = [_line(map(_entry, row)) for row in grid.rows]
    yield "\n".join([_line(escaped(_name(column)) for column in grid.columns), _rule(grid.columns), *rows])
    if grid.notes:
        yield "\n".join(f"- {escaped(note)}" for note in grid.notes)


def _name(column: Column) -> str:
    return ", ".join(filter(None, column.path))


def _line(values: Iterable[str]) -> str:
    return f"| {' | '.join(values)} |"


def _rule(columns: tuple[Column, ...]) -> str:
    return f"|{'|'.join(' --- ' if column.words else ' ---: ' for column in columns)}|"


def _entry(entry: Entry) -> str:
    shown = escaped(str(entry))
    return f"*{shown}*" if entry.kind == "missing" and entry.text != "-" else shown


def _remark(remark: Remark) -> str:
    cells = "".join(f"\n  - {escaped(cell)}" for cell in remark.cells)
    return f"- **{escaped(remark.mark)}**: {escaped(remark.meaning)}{cells}"


def escaped(text: str) -> str:
    """Text that Markdown shows as it is, in one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
