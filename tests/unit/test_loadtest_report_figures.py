"""The report's figures: which there are, what they say, and that they live in the page."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from loadtest.report import published_plots, subject_plots
from loadtest.report.document import document
from loadtest.report.drawing import NAMES, style
from loadtest.report.html import html
from loadtest.report.runs import runs_of, subjects
from loadtest.results import Results
from tests import made_up_results as made_up
from tests.unit.test_loadtest_results import CELL, FAILED, HEADER
from tritonclas.published import published_models


@pytest.fixture(scope="module")
def page() -> str:
    return html(document(runs_of([made_up.laptop()])))


def drawn_of(*cells):
    (subject,) = subjects(runs_of([Results(HEADER, cells)]))
    with style():
        return {each.title: each for each in subject_plots.figures(subject)}


def published(*every):
    with style():
        return published_plots.figures(runs_of(every))


def test_the_documents_four_figures_are_always_there():
    found = published(Results(HEADER))

    assert [each.title for each in found] == [
        "Top-1 against GFLOPs",
        "Top-1 against parameters",
        "Top-1 against latency, T4 FP32, batch size 1",
        "Top-1 against latency, T4 FP16, batch size 1",
    ]
    assert [each.notes for each in found[2:]] == [
        ("Not measured on a T4 at FP32.",),
        ("Not measured on a T4 at FP16.",),
    ]
    for each in found:
        assert each.svg.count("</text>") > len(published_models())


def test_sizes_are_counted_and_the_published_ones_stand_beside_them():
    gflops, parameters = published(Results(HEADER))[:2]

    assert "counted: 32x8d 32.83" in gflops.description
    assert "as published, too small: 32x8d 29.14" in gflops.description
    assert "Fix 32x48d 828.4" in parameters.description
    assert [(key.label, key.filled) for key in gflops.legend[2:]] == [
        ("counted", True),
        ("as published, too small", False),
    ]


def test_measured_points_are_in_the_figure_of_their_precision_only():
    fp32, fp16 = published(made_up.laptop(), made_up.on_gpu(made_up.T4_FP16))[2:]

    own = "measured on Intel(R) Xeon(R) Platinum 8581C CPU @ 2.10GHz, 2 cores, profile default"
    assert own in fp32.description
    assert own not in fp16.description
    assert "measured on T4, FP16: 32x8d" in fp16.description
    assert fp16.notes == ()
    synthetic = "Among what was measured: Synthetic (random) weights: the speed is real, the answers mean nothing."
    assert fp32.notes == ("Not measured on a T4 at FP32.", synthetic)


def test_a_measured_v100_has_a_figure_too():
    assert published(made_up.on_gpu(made_up.V100))[-1].title == "Top-1 against latency, V100 FP32, batch size 1"


def test_a_cell_has_the_figures_for_which_there_are_data():
    full = made_up.laptop().cells
    assert list(drawn_of(*full[:3])) == ["Throughput and latency", "Where the time goes", "Latency's distribution"]
    assert "Latency by batch size" in drawn_of(*full[:9])
    assert list(drawn_of(CELL)) == ["Throughput and latency"]
    assert drawn_of(FAILED) == {}


def test_bars_are_as_long_as_the_latency():
    (cell,) = made_up.single().cells
    bars = drawn_of(cell)["Where the time goes"]

    assert f">{cell.latency_ms.avg:.1f}<" in bars.svg
    assert [key.label for key in bars.legend][-2:] == ["rest of the server", "outside"]


def test_a_closed_and_an_open_loop_have_lines_of_their_own():
    found = drawn_of(CELL, replace(CELL, users=None, rate_per_s=80.0, arrivals="poisson"))["Throughput and latency"]

    assert [key.label for key in found.legend[:2]] == ["batch 4", "batch 4, open loop"]
    assert found.notes == ("Numbers at the points: users and requests a second.",)


def test_the_page_needs_nothing_else(page):
    assert not re.search(r"<script|<link(?! rel=\"icon\" href=\"data:,\")|<img|@import|url\((?!#)", page)
    assert not re.findall(r"https?://", page)


def test_colours_are_the_pages(page):
    figures = "".join(re.findall(r"<svg.*?</svg>", page, re.DOTALL))

    assert not re.findall(r"#[0-9a-f]{6}", figures)
    used = set(re.findall(r"var\(--([a-z0-9-]+)\)", figures))
    assert used <= set(NAMES)
    for name in used:
        assert len(re.findall(rf"--{name}: ", page)) == 2  # light and dark


def test_figures_have_words_and_names_of_their_own(page):
    figures = [ElementTree.fromstring(svg) for svg in re.findall(r'<svg class="plot".*?</svg>', page, re.DOTALL)]
    assert len(figures) >= 4 + 4 * 3
    for figure in figures:
        assert figure.find("title").text
        assert len(figure.find("desc").text) > 20
    names = re.findall(r'\sid="([^"]+)"', page)
    assert len(names) == len(set(names))
    assert set(re.findall(r"url\(#([^)]+)\)", page)) | set(re.findall(r'href="#([^"]+)"', page)) <= set(names)


def test_drawing_leaves_no_trace_in_matplotlib():
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    published(Results(HEADER))

    assert dict(mpl.rcParams) == before


def test_twice_drawn_it_is_the_same_page(page):
    assert html(document(runs_of([made_up.laptop()]))) == page
