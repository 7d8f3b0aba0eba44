"""An end to whatever takes too long."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator


class TookTooLong(Exception):
    """A fault took longer than it may."""


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """TookTooLong in the `with` block, so that it cleans up, if it takes longer. For the main thread."""

    def end(_number: int, _frame: object) -> None:
        raise TookTooLong(f"it took longer than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
