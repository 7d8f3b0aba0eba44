"""Parts of a batch, side by side (backends/shared/side_by_side.py)."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.unit.backends import load


@pytest.fixture
def both() -> Any:
    """Two threads, however many cores the machine has."""
    return load("shared", "side_by_side").SideBySide("part", threads=2)


def test_what_is_made_comes_in_the_order_of_the_parts(both: Any) -> None:
    assert both.map(str, list(range(50))) == [str(number) for number in range(50)]
    assert both.map(str, []) == []


def test_as_many_at_once_as_there_are_cores(both: Any) -> None:
    meeting = threading.Barrier(2)
    assert len(both.map(lambda _: meeting.wait(timeout=10), [0] * 4)) == 4


def test_a_lone_part_stays_in_the_callers_thread(both: Any) -> None:
    assert both.map(lambda _: threading.current_thread(), [0]) == [threading.current_thread()]
    assert threading.current_thread() not in both.map(lambda _: threading.current_thread(), [0] * 2)


def test_an_error_comes_when_no_thread_is_at_work_any_more_and_nothing_else_is_begun(both: Any) -> None:
    meeting, done = threading.Barrier(2), []

    def work(part: int) -> None:
        meeting.wait(timeout=10)
        if part == 0:
            raise ArithmeticError("part 0")
        threading.Event().wait(0.05)  # as long as somebody who didn't wait would need to be ahead
        done.append(part)

    with pytest.raises(ArithmeticError, match="part 0"):
        both.map(work, [0, 1, 2])
    assert done == [1]


def test_what_no_thread_can_be_started_for_is_left(both: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the error is out, whoever gave the parts has taken them back."""
    done: list[int] = []

    def cannot(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", cannot)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            both.map(done.append, [1, 2])
    assert both.map(str, [3, 4]) == ["3", "4"]
    assert not done


def test_several_batches_at_once_are_each_whole(both: Any) -> None:
    made: dict[int, list[int]] = {}

    def batch(number: int) -> None:
        made[number] = both.map(lambda part: 100 * number + part, list(range(20)))

    batches = [threading.Thread(target=batch, args=(number,)) for number in range(8)]
    for each in batches:
        each.start()
    for each in batches:
        each.join()
    assert made == {number: [100 * number + part for part in range(20)] for number in range(8)}
