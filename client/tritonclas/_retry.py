"""Whether a request that failed is sent again, and after how long."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Final

from tritonclas.errors import ModelNotReady, ServerUnavailable, TritonClasError

#: How often a request is sent again unless the caller says otherwise.
USUAL_RETRIES: Final = 3
#: With pauses of 2 s at most, enough to outlast a server's start.
MAX_RETRIES: Final = 1000

#: What may be sent again: nobody has answered, or nobody could yet. A request for probabilities that was served after
#: all does no harm when it is served twice. An overloaded server isn't asked again: that is how overload lasts.
_SENT_AGAIN: Final = (ServerUnavailable, ModelNotReady)

#: Seconds: the longest pause before the first retry, doubled with each one, and the longest of all.
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 2.0

#: Retries that may happen at once, enough for all requests that a lost server had under way; and how many more each
#: call earns. So an outage makes at most 100 requests more, and then a tenth more than the calls.
_MOST_SAVED: Final = 100.0
_EARNED: Final = 0.1


class Retries:
    """What all calls of a client share: how often one is sent again, and how many retries are left. Threads may."""

    def __init__(self, limit: int, chance: Callable[[], float] = random.random) -> None:
        self._limit = limit
        self._chance = chance
        self._saved = _MOST_SAVED
        self._lock = threading.Lock()

    def begin(self) -> None:
        """A call begins, and earns its part of a retry."""
        if self._saved < _MOST_SAVED:
            with self._lock:
                self._saved = min(_MOST_SAVED, self._saved + _EARNED)

    def pause_s(self, kind: type[TritonClasError], tried: int) -> float | None:
        """Seconds until a request is sent again that has failed `tried` times; None if it isn't sent again.

        They are evenly distributed from 0 to a bound that doubles each time ("full jitter": M. Brooker,
        Exponential Backoff and Jitter, AWS Architecture Blog, 2015), so that callers don't come back together.
        """
        if tried > self._limit or not issubclass(kind, _SENT_AGAIN) or not self._spend():
            return None
        return self._chance() * min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** (tried - 1))

    def _spend(self) -> bool:
        with self._lock:
            if self._saved < 1:
                return False
            self._saved -= 1
            return True
