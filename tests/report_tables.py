"""The tables of a report as one reads them: out of HTML and out of Markdown."""

from __future__ import annotations

import re
from html.parser import HTMLParser

Row = list[str]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tables: dict[str, list[Row]] = {}
        self._rows: list[Row] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self._rows = self.tables[dict(attrs)["id"] or ""] = []
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th"):
            self._rows[-1].append("")
            self._inside = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self._rows[-1][-1] += data


def of_html(page: str) -> dict[str, list[Row]]:
    """All rows, headings too, by the table's id."""
    reader = _Reader()
    reader.feed(page)
    return reader.tables


def of_markdown(text: str) -> list[list[Row]]:
    """All tables, each a row of headings and the rows below it."""
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("| ")]
    return [[_row(line) for line in lines if not line.startswith("| ---")] for lines in blocks]


def _row(line: str) -> Row:
    parts = re.split(r"(?<!\\)\|", line)[1:-1]
    return [unescaped(re.sub(r"^\*(.*[^\\])\*$", r"\1", part.strip())) for part in parts]


def unescaped(text: str) -> str:
    """Markdown's text as it is read."""
    return re.sub(r"\\(.)", r"\1", text.strip())
