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


@pytest.mark.parametrize(("seconds", "faster"), [((2.0, 1.0), 1), ((1.0, 2.0), 0)])
def test_the_faster_one_is_used_nearly_always(seconds: Sequence[float], faster: int) -> None:
    used = _use(load("onnxruntime", "choice").Choice(2), seconds, 1000)
    assert set(used[:2]) == {0, 1}
    assert used.count(faster) > 980


def test_a_change_is_noticed() -> None:
    choice = load("onnxruntime", "choice").Choice(2)
    _use(choice, (2.0, 1.0), 200)
    used = _use(choice, (2.0, 8.0), 200)  # a neighbour took a core
    assert used[-50:].count(0) >= 49
    used = _use(choice, (2.0, 1.0), 6000)  # and is gone
    assert used[-50:].count(1) >= 49


def test_one_way_is_no_choice() -> None:
    assert set(_use(load("onnxruntime", "choice").Choice(1), (1.0,), 200)) == {0}
