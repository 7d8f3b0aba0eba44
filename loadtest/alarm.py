"""Waits until a point in time, for greenlets and to a tenth of a millisecond.

gevent's own timers are libev's, which wait in whole milliseconds: too coarse for the start of a request that is
answered in three. Here a native thread waits, and wakes gevent's loop through the one call of it that is thread-safe.
"""

from __future__ import annotations

import heapq
import time
from collections import deque
from itertools import count
from typing import Any

import gevent
from gevent.hub import Waiter
from gevent.monkey import get_original

_new_lock = get_original("_thread", "allocate_lock")
_start_thread = get_original("_thread", "start_new_thread")

#: The longest time that a lock can be waited for at once is bounded; a year is no limit here.
_LONG_S = 365 * 86400.0


class Alarm:
    """One native thread for all greenlets of the process; it runs until the process ends."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Waiter]] = []
        self._numbers = count()
        self._guard = _new_lock()
        self._sooner = _new_lock()  # held while there is nothing new for the thread
        self._sooner.acquire()
        self._due: deque[Waiter] = deque()
        self._bell: Any = gevent.get_hub().loop.async_()
        self._bell.start(self._wake)
        _start_thread(self._wait, ())

    def sleep_until(self, due_s: float) -> None:
        """Let other greenlets run until `time.perf_counter()` is `due_s`; at once if that is over."""
        if due_s <= time.perf_counter():
            return
        waiter = Waiter()
        with self._guard:
            first = not self._heap or due_s < self._heap[0][0]
            heapq.heappush(self._heap, (due_s, next(self._numbers), waiter))
            if first and self._sooner.locked():
                self._sooner.release()
        waiter.get()

    def _wait(self) -> None:
        """The native thread: nothing that gevent has patched may be called here."""
        while True:
            with self._guard:
                left_s = self._heap[0][0] - time.perf_counter() if self._heap else _LONG_S
            if left_s > 0 and self._sooner.acquire(True, left_s):
                continue  # something is due sooner
            with self._guard:
                now_s = time.perf_counter()
                while self._heap and self._heap[0][0] <= now_s:
                    self._due.append(heapq.heappop(self._heap)[2])
            self._bell.send()

    def _wake(self) -> None:
        while self._due:
            self._due.popleft().switch(None)
