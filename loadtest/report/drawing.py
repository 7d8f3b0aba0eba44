"""Matplotlib figures as SVG that lives in the page: its text is text, its colours are the page's.

Every colour is drawn as a placeholder, and written as a CSS variable, so that a figure follows the reader's light or
dark scheme. Two drawings of the same figures are the same bytes.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import escape
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

#: Names of the page's colours: text, quiet text, rules, ground; families; ordered series; steps of a request.
NAMES = (
    *("ink", "quiet", "rule", "ground"),
    *("efficientnet", "resnext", "other"),
    *(f"series-{number}" for number in range(6)),
    *(f"load-{number}" for number in range(6)),
    *(f"step-{number}" for number in range(8)),
)
#: Series that can be told apart by colour and marker; more take turns.
SERIES = 6
MARKERS = ("o", "s", "^", "D", "v", "P")
DASHES = ("-", (0, (5, 1.6)), (0, (1.2, 1.4)), (0, (6, 1.4, 1.2, 1.4)))

_PIXELS_PER_INCH = 72.0  # Matplotlib's SVG counts in points
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",  # it comes with Matplotlib: the same metrics on every machine
    "font.size": 11.0,
    "axes.titlesize": 11.0,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": False,
    "xtick.major.size": 3.5,
    "ytick.major.size": 0.0,
    "xtick.major.width": 0.8,
    "lines.linewidth": 1.8,
    "lines.markersize": 6.5,
    "lines.solid_capstyle": "round",
    "path.simplify": False,
    "text.parse_math": False,
}


@dataclass(frozen=True)
class Key:
    """A line of a figure's legend. `shape` is a marker, "line", "dashed" or "box"."""

    label: str
    colour: str
    shape: str = "o"
    filled: bool = True


@dataclass(frozen=True)
class Drawn:
    """A figure in the page. `description` says in words what is to be seen."""

    id: str
    title: str
    description: str
    svg: str
    legend: tuple[Key, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass
class Canvas:
    """A figure that is being drawn, `width` times `height` pixels of a page that isn't scaled."""

    id: str
    width: float = 440.0
    height: float = 320.0
    legend: list[Key] = field(default_factory=list)
    figure: Figure = field(init=False)

    def __post_init__(self) -> None:
        self.figure = Figure(figsize=(self.width / _PIXELS_PER_INCH, self.height / _PIXELS_PER_INCH))
        FigureCanvasSVG(self.figure)

    def axes(self, left: float = 48.0, right: float = 14.0, top: float = 12.0, bottom: float = 44.0) -> Axes:
        """Axes with these margins in pixels, in the page's colours."""
        place = left / self.width, bottom / self.height
        size = 1 - (left + right) / self.width, 1 - (top + bottom) / self.height
        axes = self.figure.add_axes((*place, *size))
        axes.patch.set_visible(False)
        for spine in axes.spines.values():
            spine.set_color(colour("rule"))
        axes.spines["left"].set_visible(False)
        axes.tick_params(colors=colour("quiet"), which="both", labelsize=10.5)
        axes.grid(axis="y", color=colour("rule"), linewidth=0.7)
        return axes

    def drawn(self, title: str, description: str, *notes: str) -> Drawn:
        """The finished figure."""
        written = io.StringIO()
        self.figure.patch.set_visible(False)
        with mpl.rc_context({"svg.hashsalt": self.id}):
            self.figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
        svg = _in_page(written.getvalue(), self.id, title, description)
        return Drawn(self.id, title, description, svg, tuple(dict.fromkeys(self.legend)), notes)


@contextmanager
def style() -> Iterator[None]:
    """Figures that are made and drawn within look like those of the page."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def colour(name: str) -> str:
    """The placeholder of one of the page's colours."""
    return f"#fe{NAMES.index(name):02x}ef"


def label_axes(axes: Axes, x: str, y: str) -> None:
    """Name the axes: x below at the right end, y above the axis, so that it reads without turning one's head."""
    axes.set_xlabel(x, color=colour("quiet"), labelpad=6)
    above: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "ha": "left", "va": "bottom"}
    axes.annotate(y, (0.0, 1.0), (0.0, 7.0), color=colour("quiet"), annotation_clip=False, **above)


def logarithmic(axes: Axes, low: float, high: float, axis: str = "x") -> None:
    """A logarithmic axis from below `low` to above `high`, with numbers as people write them."""
    room = (high / low) ** 0.07 if high > low else 1.6
    above = room**1.7 if axis == "x" else room  # for names right of the last point
    (axes.set_xscale if axis == "x" else axes.set_yscale)("log")
    (axes.set_xlim if axis == "x" else axes.set_ylim)(low / room, high * above)
    chosen = axes.xaxis if axis == "x" else axes.yaxis
    steps = (1.0, 2.0, 5.0) if high / low < 400 else (1.0,) if high / low > 20_000 else (1.0, 3.0)
    chosen.set_major_locator(LogLocator(base=10, subs=steps, numticks=20))
    chosen.set_major_formatter(FuncFormatter(lambda value, _: plain(value)))
    chosen.set_minor_locator(NullLocator())
    chosen.set_minor_formatter(NullFormatter())


def plain(value: float) -> str:
    """A number without needless zeros."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def _in_page(svg: str, prefix: str, title: str, description: str) -> str:
    """The `svg` element alone: with names that no other figure has, colours of the page, and the page's letters."""
    element = svg[svg.index("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>\s*", "", element, flags=re.DOTALL)
    element = re.sub(r'<style type="text/css">.*?</style>', "", element, flags=re.DOTALL)
    element = re.sub(r"<!--.*?-->\s*", "", element, flags=re.DOTALL)
    element = re.sub(r'(?<=\sid=")', f"{prefix}-", element)
    element = re.sub(r'(?<=href="#)', f"{prefix}-", element)
    element = re.sub(r"(?<=url\(#)", f"{prefix}-", element)
    element = element.replace("xlink:href", "href")
    element = re.sub(r"#fe([0-9a-f]{2})ef", lambda found: f"var(--{NAMES[int(found[1], 16)]})", element)
    element = re.sub(r"font: ([0-9.]+)px '[^']*'(, [^;\"]*)?", r"font-size: \1px", element)
    opening = f'<svg class="plot" viewBox="{_view_box(element)}" role="img" aria-labelledby="{prefix}-t {prefix}-d">'
    words = f'<title id="{prefix}-t">{escape(title)}</title><desc id="{prefix}-d">{escape(description)}</desc>'
    return opening + words + element[element.index(">") + 1 :]


def _view_box(element: str) -> str:
    found = re.search(r'viewBox="([0-9. -]+)"', element)
    assert found
    return found[1]
