"""What a client has done so far, counted while it does it."""

from __future__ import annotations

import threading
from collections import Counter

from tritonclas.errors import TritonClasError
from tritonclas.results import Counters


class Tally:
    """The counts of a client, which all its calls add to, from any thread."""

    def __init__(self) -> None:
        self._requests = self._retries = self._images = self._rejected = 0
        self._failures: Counter[str] = Counter()
        self._lock = threading.Lock()

    def sent(self, *, again: bool) -> None:
        """A request was sent, for the first time or again."""
        with self._lock:
            self._requests += 1
            self._retries += again

    def answered(self, images: int, rejected: int) -> None:
        """So many images were answered, and so many rejected."""
        with self._lock:
            self._images += images
            self._rejected += rejected

    def failed(self, error: TritonClasError) -> None:
        """A call of the user's has failed."""
        with self._lock:
            self._failures[type(error).__name__] += 1

    def read(self) -> Counters:
        """All counts at one moment."""
        with self._lock:
            return Counters(self._requests, self._retries, self._images, self._rejected, dict(self._failures))
