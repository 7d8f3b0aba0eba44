"""Programs end with us, and signals unwind us; what nohup ignores stays ignored."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator

import pytest

from scripts.processes import Terminated, termination_as_interrupt


@pytest.fixture(autouse=True)
def hangup() -> Iterator[None]:
    """As usual, also where the tests are run by nohup."""
    previous = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, previous)


def killed_by(number: signal.Signals, cleaned: list[bool]) -> None:
    try:
        os.kill(os.getpid(), number)
        time.sleep(10)
    finally:
        cleaned.append(True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_signals_unwind_with_the_shells_status(number: signal.Signals) -> None:
    cleaned: list[bool] = []
    before = signal.getsignal(number)
    with pytest.raises(Terminated) as ended, termination_as_interrupt():
        killed_by(number, cleaned)
    assert (ended.value.code, cleaned) == (128 + number, [True])
    assert signal.getsignal(number) == before


class Swallowing:
    """Whose destructor gets a signal."""

    def __init__(self, number: signal.Signals) -> None:
        self.number = number

    def __del__(self) -> None:
        os.kill(os.getpid(), self.number)
        for _ in range(1000):
            pass


@pytest.mark.parametrize(
    ("number", "raised"),
    [(signal.SIGTERM, Terminated), (signal.SIGINT, KeyboardInterrupt)],
    ids=lambda each: getattr(each, "name", ""),
)
def test_signals_during_a_destructor_are_not_lost(number: signal.Signals, raised: type[BaseException]) -> None:
    before = sys.unraisablehook

    def work() -> None:
        Swallowing(number)
        for _ in range(500):
            time.sleep(0.01)

    with pytest.raises(raised), termination_as_interrupt():
        work()
    assert sys.unraisablehook is before


def test_other_errors_of_destructors_are_reported_as_ever(capfd: pytest.CaptureFixture[str]) -> None:
    class Failing:
        def __del__(self) -> None:
            raise ValueError("one's own")

    with termination_as_interrupt():
        Failing()
    assert "ValueError: one's own" in capfd.readouterr().err


def test_a_hangup_that_nohup_ignores_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with termination_as_interrupt():
        os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
