"""Parts of a batch, side by side (backends/shared/side_by_side.py)."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.unit.backends import load


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Threads for two cores, whatever the machine has."""
    module = load("shared", "side_by_side")
    monkeypatch.setattr(module, "_CORES", 2)
    return module.SideBySide("part")


def test_what_is_made_comes_in_the_order_of_the_parts(both: Any) -> None:
    assert both.map(str, range(50)) == [str(number) for number in range(50)]
    assert both.map(str, []) == []


def test_as_many_at_once_as_there_are_cores(both: Any) -> None:
    meeting = threading.Barrier(2)
    assert len(both.map(lambda _: meeting.wait(timeout=10), range(4))) == 4


def test_a_lone_part_stays_in_the_callers_thread(both: Any) -> None:
    assert both.map(lambda _: threading.current_thread(), "a") == [threading.current_thread()]
    assert threading.current_thread() not in both.map(lambda _: threading.current_thread(), "ab")


def test_an_error_comes_when_no_thread_is_at_work_any_more(both: Any) -> None:
    meeting, failed, done = threading.Barrier(2), threading.Event(), []

    def work(part: int) -> None:
        meeting.wait(timeout=10)
        if part == 0:
            failed.set()
            raise ArithmeticError("part 0")
        failed.wait(timeout=10)
        threading.Event().wait(0.05)  # as long as somebody who didn't wait would need to be ahead
        done.append(part)

    with pytest.raises(ArithmeticError, match="part 0"):
        both.map(work, range(2))
    assert done == [1]


def test_several_batches_at_once_are_each_whole(both: Any) -> None:
    made: dict[int, list[int]] = {}

    def batch(number: int) -> None:
        made[number] = both.map(lambda part: 100 * number + part, range(20))

    batches = [threading.Thread(target=batch, args=(number,)) for number in range(8)]
    for each in batches:
        each.start()
    for each in batches:
        each.join()
    assert made == {number: [100 * number + part for part in range(20)] for number in range(8)}
