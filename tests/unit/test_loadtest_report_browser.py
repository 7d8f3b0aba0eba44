"""The report as a browser shows it: on a desk and on a phone, light and dark."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from loadtest import report
from tests import made_up_results as made_up
from tritonclas.published import published_latencies

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
MISSING = "no browser to look at the report with: apt-get install chromium, or playwright install chromium"
FORMS = [(width, scheme) for width in (1280, 390, 360) for scheme in ("light", "dark")]
#: Published figures of a GPU's table, columns from the fourth on: every second is a measured one.
TABLES = {"latency-v100": [("V100", "fp32")], "latency-t4": [("T4", "fp16"), ("T4", "fp32")]}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's Chromium, or playwright's own."""
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
        path = next(filter(None, map(shutil.which, BROWSERS)), own if Path(own).exists() else None)
        if path is None and os.environ.get("CI"):
            pytest.fail(MISSING)
        if path is None:
            pytest.skip(MISSING)
        opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.fixture(scope="module", params=["laptop", "t4", "single"])
def address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A report's."""
    folder = tmp_path_factory.mktemp("report")
    results = {"laptop": made_up.laptop, "t4": lambda: made_up.on_gpu(made_up.T4_FP16), "single": made_up.single}
    report.write(results[request.param](), folder)
    return (folder / "report.html").as_uri()


@pytest.fixture(params=FORMS, ids=lambda form: f"{form[0]}-{form[1]}")
def page(request: pytest.FixtureRequest, browser: Browser, address: str) -> Iterator[Page]:
    """The report, opened; fails if the page has anything to complain of or to ask for."""
    width, scheme = request.param
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True)
    shown = context.new_page()
    complaints: list[str] = []
    asked: list[str] = []
    shown.on("console", lambda message: complaints.append(message.text))
    shown.on("pageerror", lambda error: complaints.append(str(error)))
    shown.on("request", lambda request: asked.append(request.url))
    shown.goto(address)
    yield shown
    context.close()
    assert complaints == []
    assert [url for url in asked if url != "data:,"] == [address]


def test_the_report_in_a_browser(page: Page):
    check_fits(page)
    check_figures(page)
    check_tables(page)
    check_seen(page)


def check_fits(page: Page) -> None:
    """Nothing sticks out to the right: wide tables scroll in themselves."""
    wide, window = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert wide <= window
    outside = page.evaluate(
        """() => [...document.querySelectorAll('h1, h2, h3, p, figure, .plot, .legend, .scroll, dl, li')]
            .filter(each => each.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
            .map(each => each.outerHTML.slice(0, 80))"""
    )
    assert outside == []


def check_figures(page: Page) -> None:
    """Each has its picture, and letters that can be read."""
    figures = page.locator("figure")
    assert figures.count() >= 4
    boxes = page.evaluate(
        """() => [...document.querySelectorAll('figure .plot')].map(each => {
            const box = each.getBoundingClientRect();
            return [box.width, box.height, box.width / each.viewBox.baseVal.width];
        })"""
    )
    assert len(boxes) == figures.count()
    for width, height, scale in boxes:
        assert width > 250
        assert height > 50
        assert scale * 9.5 > 6.5  # pixels of the smallest letters


def check_tables(page: Page) -> None:
    """All published figures are there, beside a measured one each or the words that there is none."""
    for name, places in TABLES.items():
        rows = page.evaluate(
            f"[...document.querySelectorAll('#{name} tbody tr')].map(row => [...row.cells].map(cell => cell.innerText))"
        )
        found = {row[0].rstrip("*"): row[3:] for row in rows}
        for (model, *place, size), value in published_latencies().items():
            if tuple(place) in places:
                at = 6 * places.index(tuple(place)) + 2 * (1, 4, 8).index(size)
                assert found[model][at] == ("-" if value is None else f"{value:,.2f}")
                assert found[model][at + 1]
        first = page.locator(f"#{name} tbody th").first
        page.evaluate(f"document.getElementById('{name}').parentElement.scrollLeft = 10000")
        box = first.bounding_box()
        assert box
        assert box["x"] >= 0  # the model's name stays where it is


def check_seen(page: Page) -> None:
    """The ground is of the scheme that was asked for, and there is something on it."""
    dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    page.locator("#figures").scroll_into_view_if_needed()
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    colours = picture.getcolors(maxcolors=picture.width * picture.height) or []
    assert len(colours) > 100
    part, most = max(colours)
    assert part < 0.985 * picture.width * picture.height
    assert (sum(most) < 3 * 128) == dark
