"""The faster way is found, and found again when that changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tests.unit.backends import load


def _use(choice: Any, seconds: Sequence[float], times: int) -> list[int]:
    used = []
    for _ in range(times):
        way = choice.best()
        choice.took(way, seconds[way])
        used.append(way)
    return used


def _choice(ways: int) -> Any:
    return load("onnxruntime", "choice").Choice(ways)


@pytest.mark.parametrize(("seconds", "faster"), [((2.0, 1.0), 1), ((1.0, 2.0), 0)])
def test_the_faster_one_is_used_nearly_always(seconds: Sequence[float], faster: int) -> None:
    used = _use(_choice(2), seconds, 2000)
    assert set(used[:10]) == {0, 1}
    assert used.count(faster) > 1970


def test_something_that_comes_between_doesnt_matter() -> None:
    choice = _choice(2)
    _use(choice, (2.0, 1.0), 23)  # until way 0 has been tried again
    for _ in range(2):
        choice.took(1, 100.0)
    assert set(_use(choice, (2.0, 1.0), 20)) == {1}


def test_a_change_is_noticed() -> None:
    choice = _choice(2)
    _use(choice, (2.0, 1.0), 200)
    used = _use(choice, (2.0, 8.0), 200)  # a neighbour took a core
    assert used[3:13] == [0] * 10
    assert used.count(0) > 180
    used = _use(choice, (2.0, 1.0), 200)  # and is gone
    assert used[-50:].count(1) >= 47


def test_a_bad_moment_is_soon_forgotten() -> None:
    choice = _choice(2)
    _use(choice, (2.0, 1.0), 200)
    assert 0 in _use(choice, (2.0, 9.0), 5)  # of way 1 no time is left but bad ones
    assert _use(choice, (2.0, 1.0), 30)[15:].count(1) >= 12


def test_one_way_is_no_choice() -> None:
    assert set(_use(_choice(1), (1.0,), 200)) == {0}


def test_images_are_alone_once_several_in_a_row_were() -> None:
    traffic = load("onnxruntime", "traffic").Traffic()

    def one_after_the_other(times: int) -> list[bool]:
        calm = []
        for _ in range(times):
            passage = traffic.begin()
            calm.append(passage.calm)
            assert traffic.end(passage)
        return calm

    assert one_after_the_other(5) == [False, False, False, True, True]
    first = traffic.begin()
    second = traffic.begin()
    assert (first.calm, second.calm, second.alone) == (True, False, False)
    assert not traffic.end(first)  # it began alone, and didn't stay so
    assert not traffic.end(second)
    assert one_after_the_other(4) == [False, False, False, True]
