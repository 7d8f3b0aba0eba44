"""Counting, confidence, and the comparison with what was published."""

from __future__ import annotations

import json

import numpy as np
import pytest

from scripts.evaluation.accuracy import Answer, Share, Tally, comparisons
from scripts.evaluation.interpolation import WAYS, way_seen
from scripts.evaluation.subject import Subject
from tritonclas import zoo
from tritonclas.published import Published

PUBLISHED = Published(0.774, 0.933, None, None, 0.72, 5.1)
NAMES = tuple(map(str, range(1000)))


def tally(right: int, right_in_5: int, of: int, rejected: int = 0) -> Tally:
    counted = Tally()
    for number in range(of):
        counted.add("", Answer(0 if number < right else 4 if number < right_in_5 else None, 1, 0.5))
    for number in range(rejected):
        counted.add(f"{number}.jpg", Answer(rejected="broken"))
    return counted


@pytest.mark.parametrize(
    ("right", "of", "interval"),
    [
        (0, 5, (0.0, 0.4344825)),
        (5, 5, (0.5655175, 1.0)),
        (8, 10, (0.4901625, 0.9433178)),
    ],
)
def test_wilsons_interval(right, of, interval):
    assert Share(right, of).interval == pytest.approx(interval, abs=1e-6)


@pytest.mark.parametrize(("right", "of"), [(1, 3), (38700, 50000), (2, 50000)])
def test_a_bound_is_where_the_measured_share_is_just_not_surprising(right, of):
    for bound in Share(right, of).interval:  # 1.96 standard deviations away, were the bound the truth
        assert abs(right / of - bound) / (bound * (1 - bound) / of) ** 0.5 == pytest.approx(1.959964, abs=1e-5)


@pytest.mark.parametrize(
    ("right", "of", "verdict"),
    [
        (38700, 50000, "as published"),  # 0.774
        (39200, 50000, "as published"),  # a point above, not more
        (38200, 50000, "as published"),
        (39201, 50000, "off"),
        (38199, 50000, "off"),
        (4, 5, "too few pictures"),
        (0, 5, "off"),
        (774, 1000, "too few pictures"),
        (790, 1000, "too few pictures"),
        (600, 1000, "off"),
    ],
)
def test_against_the_published(right, of, verdict):
    assert Share(right, of).against(0.774) == verdict


def test_the_warning_helps():
    (top1,) = comparisons(tally(37200, 46650, 50000), PUBLISHED)
    assert top1.startswith("top-1 is 3.00 points below the published 77.40 %; usual causes: the wrong interpolation")
    (top5,) = comparisons(tally(38700, 48500, 50000), PUBLISHED)
    assert top5.startswith("top-5 is 3.70 points above the published 93.30 %")
    assert not comparisons(tally(38700, 46650, 50000), PUBLISHED)
    few = comparisons(tally(4, 5, 5), PUBLISHED)
    assert "top-1 is between 37.55 % and 96.38 % (95 %): 5 pictures are too few" in few[0]
    assert len(few) == 2


def test_rejected_pictures_are_neither_right_nor_wrong():
    counted = tally(3, 4, 8, rejected=2)
    assert (counted.pictures, counted.top1, counted.top5) == (10, Share(3, 8), Share(4, 8))
    found = counted.to_dict()
    assert (found["top1"], found["top5"], found["answered"], found["rejected"]) == (0.375, 0.5, 8, 2)
    assert found["rejections"][0] == {"image": "0.jpg", "error": "broken"}


def test_only_a_few_rejections_are_listed():
    assert len(tally(0, 0, 0, rejected=1000).rejections) == 5


def test_nothing_answered():
    found = tally(0, 0, 0, rejected=1).to_dict()
    assert found["top1"] is found["top5_interval"] is None
    assert json.dumps(found)


@pytest.mark.parametrize(
    ("answered", "rejected", "usable"), [(99, 1, True), (98, 2, False), (0, 0, False), (1, 0, True)]
)
def test_more_than_one_percent_rejected_is_another_set(answered, rejected, usable):
    assert tally(0, 0, answered, rejected).usable is usable


def remarks(name: str = "EfficientNetB0", interpolation: str | None = "cubic", **changes: object) -> list[str]:
    values = {"names": NAMES, "synthetic": False, "counted": tally(38700, 46650, 50000), **changes}
    counted = values.pop("counted")
    return Subject(name=name, interpolation=interpolation, **values).remarks(counted)  # type: ignore[arg-type]


def test_remarks():
    assert remarks() == remarks(interpolation="unknown") == remarks(name="Flowers", interpolation=None) == []
    assert remarks(interpolation="linear") == ["the server's interpolation is linear, EfficientNetB0 needs cubic"]
    assert "preprocess_256_224_cubic" in remarks(interpolation="another")[0]
    assert len(remarks(counted=tally(1, 1, 50000))) == 2
    assert remarks(counted=tally(1, 1, 50000), names=NAMES[:10]) == []  # other classes than the published model's
    (synthetic,) = remarks(synthetic=True, interpolation="linear", counted=tally(1, 1, 50000))
    assert "synthetic (random) weights" in synthetic
    (rejected,) = remarks(counted=tally(38700, 46650, 50000, rejected=6))
    assert rejected.startswith("6 of 50006 pictures were rejected and are left out: 0.jpg: broken; 1.jpg")
    assert rejected.endswith("4.jpg: broken; …")
    assert not [found for found in remarks(counted=tally(0, 0, 0, rejected=1)) if "published" in found]


def test_every_interpolation_is_told_from_the_answers():
    answers = np.random.default_rng(1).random((1 + len(WAYS), 10), dtype=np.float32)
    for place, way in enumerate(WAYS, start=1):
        seen = answers.copy()
        seen[0] = seen[place] + 1e-4  # as a GPU may round
        assert way_seen(seen) == way
    assert way_seen(answers) == "another"
    assert way_seen(np.full((3, 10), 0.1, np.float32)) == "unknown"
    assert way_seen(np.full((3, 10), np.nan, np.float32)) == "unknown"


def test_the_zoo_has_no_other_interpolations():
    assert {row.interpolation for row in zoo.MODELS.values()} <= set(WAYS)
