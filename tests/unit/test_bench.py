"""The benchmark's page is made of its data, and its arithmetic is right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench import agreement, page
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


def test_agreement_of_two_ways_to_compute() -> None:
    """Three pictures: the same answer, one with another order after the first, one with another first class."""
    exact = np.array([[0.4, 0.3, 0.1, 0.1, 0.05, 0.05]] * 3, np.float32)
    found = exact.copy()
    found[1, 4:] = 0.04, 0.06
    found[2, :2] = 0.25, 0.45
    top1, top5, margin, largest, mean = agreement.compare(exact, found)
    assert (top1, top5) == pytest.approx((2 / 3, 2 / 3))
    assert (margin, largest, mean) == pytest.approx((0.1, 0.15, 0.32 / 18))


def test_views_are_different_pictures_and_always_the_same() -> None:
    first, again = agreement.views(32), agreement.views(32)
    assert {(view.shape, str(view.dtype)) for view in first} == {((32, 32, 3), "uint8")}
    assert len({view.tobytes() for view in first}) == len(first) == 300
    np.testing.assert_array_equal(first, again)
