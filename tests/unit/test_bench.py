"""The benchmark's page is made of its data, and its arithmetic is right."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import page
from bench.__main__ import PARTS
from bench.comparison import Comparison, Measure


def test_the_page_is_what_its_data_make(root: Path) -> None:
    header, found = page.read(root / "docs" / "benchmarks.json")
    assert (root / "docs" / "benchmarks.md").read_text(encoding="utf-8") == page.markdown(header, found)
    assert list(found) == list(PARTS)


@pytest.mark.parametrize(
    ("at", "bound", "ratio", "met"),
    [("most", 1.05, 0.5, True), ("most", 0.4, 0.5, False), ("least", 2.0, 2.0, True), ("least", 2.1, 2.0, False)],
)
def test_ratios(at: str, bound: float, ratio: float, met: bool) -> None:
    comparison = Comparison("a", "b", (1.0, 2.0, 9.0), (2.0, 4.0, 9.0), at, bound)  # type: ignore[arg-type]
    assert (comparison.ratio, comparison.met) == (ratio, met)


def test_both_take_turns() -> None:
    done: list[str] = []
    ours, theirs = Measure(2, 2).seconds(lambda: done.append("ours"), lambda: done.append("theirs"))
    assert done == ["ours", "theirs", *["ours"] * 2, *["theirs"] * 4, *["ours"] * 2]
    assert len(ours) == len(theirs) == 2
    assert min(ours + theirs) > 0
