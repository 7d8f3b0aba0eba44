"""Whether images come one at a time, or side by side."""

from __future__ import annotations

import threading

#: So many in a row must have had the process to themselves before the next one is expected to have it, too.
_IN_A_ROW = 3


class Traffic:
    """Counts the images that are being run in this process, by any model."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = self._begun = self._alone_in_a_row = 0

    def begin(self) -> Passage:
        """An image, or a batch, is about to be run."""
        with self._lock:
            self._running += 1
            self._begun += 1
            return Passage(self._begun, alone=self._running == 1, calm=self._alone_in_a_row >= _IN_A_ROW)

    def end(self, passage: Passage) -> bool:
        """It has been run; whether nothing else was meanwhile."""
        with self._lock:
            self._running -= 1
            alone = passage.alone and self._begun == passage.number
            self._alone_in_a_row = self._alone_in_a_row + 1 if alone else 0
            return alone


class Passage:
    """One run: `alone` says that no other was under way when it began, `calm` that this wasn't by chance."""

    def __init__(self, number: int, *, alone: bool, calm: bool) -> None:
        self.number, self.alone, self.calm = number, alone, alone and calm
