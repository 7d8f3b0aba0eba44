"""The report as one HTML file that needs nothing else: no script, no font, no request."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from loadtest.report import published_plots, subject_plots
from loadtest.report.document import FIGURES, Document
from loadtest.report.drawing import Drawn, Key, style

#: A marker's outline within a square from -6 to 6.
_SHAPES = {
    "o": "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0",
    "s": "M-3.7-3.7h7.4v7.4h-7.4z",
    "^": "M0-4.4L4.4 3.6h-8.8z",
    "v": "M0 4.4L4.4-3.6h-8.8z",
    "D": "M0-4.9L4.9 0 0 4.9-4.9 0z",
    "P": "M-1.6-4.6h3.2v3h3v3.2h-3v3h-3.2v-3h-3v-3.2h3z",
    "box": "M-5-5h10v10h-10z",
    "line": "M-8-1.2h16v2.4h-16z",
}


def html(document: Document) -> str:
    """The whole page."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"breakable": breakable, "swatch": swatch}
    return environment.get_template("template.html.j2").render(document=document, figures=drawn(document))


def drawn(document: Document) -> dict[str, list[Drawn]]:
    """The figures by the section that they stand in."""
    with style():
        return {
            FIGURES: published_plots.figures(document.runs),
            **{subject.id: subject_plots.figures(subject) for subject in document.subjects},
        }


def breakable(text: str) -> Markup:
    """A long name that may be broken after its underscores."""
    return Markup("_<wbr>").join(text.split("_"))


def swatch(key: Key) -> Markup:
    """A legend's sign."""
    look = f"fill:var(--{key.colour})" if key.filled else "fill:var(--ground)"
    outline = f"stroke:var(--{key.colour});stroke-width:1.4" if key.shape in ("o", "s", "^", "v", "D", "P") else ""
    return Markup(
        '<svg class="swatch" viewBox="-8 -8 16 16" aria-hidden="true"><path d="{}" style="{};{}"/></svg>'
    ).format(_SHAPES[key.shape], look, outline)
