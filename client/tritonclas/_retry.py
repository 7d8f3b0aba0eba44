"""Whether a request that failed is sent again, and after how long."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from tritonclas._arguments import DNS
from tritonclas.errors import InvalidRequest, ModelNotReady, ServerUnavailable, TritonClasError

#: How often a request is sent again unless the caller says otherwise, and how often it may be.
USUAL_RETRIES: Final = 3
MAX_RETRIES: Final = 1000

#: What may be sent again: nobody has answered, or nobody could yet. A request for probabilities that was served after
#: all does no harm when it is served twice. An overloaded server isn't asked again: that is how overload lasts.
_SENT_AGAIN: Final = (ServerUnavailable, ModelNotReady)

#: Seconds: the longest pause before the first retry, doubled with each one, and the longest of all.
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 2.0
#: From this retry on a pause is at least half of its bound: six that are all random last less than a second, which a
#: server's end takes, once in fifty times.
_AT_LEAST_HALF_FROM: Final = 3

#: Retries of a client that may happen at once, enough for what a lost server had under way, and how many a second
#: after that: so many more requests an outage may make of it. Others wait for their turn.
AT_ONCE: Final = 100
PER_SECOND: Final = 10.0


def limit_for(url: str | Sequence[str], retries: int) -> int:
    """How often a request is sent again; InvalidRequest if that makes no sense.

    To several servers twice as often: one that is told to end answers that it has no models until its last second is
    over, and gRPC, which still finds it there, gives it its share of the requests that are sent again.
    """
    if not 0 <= retries <= MAX_RETRIES:
        raise InvalidRequest(f"retries is {retries}; it must be from 0 to {MAX_RETRIES}")
    one = not url.startswith(DNS) if isinstance(url, str) else len(set(url)) == 1
    return retries if one else 2 * retries


class Retries:
    """What all calls of a client share, threads too: how often one is sent again, and how many a second are."""

    def __init__(
        self, limit: int, chance: Callable[[], float] = random.random, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = limit
        self._chance = chance
        self._clock = clock
        self._booked_until = 0.0
        self._lock = threading.Lock()

    def pause_s(self, kind: type[TritonClasError], tried: int, left_s: float) -> float | None:
        """Seconds until a request is sent again that has failed `tried` times; None if it isn't sent again.

        It isn't if the pause would take longer than the `left_s` seconds of its call. Pauses are evenly distributed
        up to a bound that doubles each time, the first two from 0, the later ones from half of it ("full" and "equal
        jitter": M. Brooker, Exponential Backoff and Jitter, AWS Architecture Blog, 2015), so that callers don't come
        back together, and longer where too many want to.
        """
        if tried > self._limit or not issubclass(kind, _SENT_AGAIN):
            return None
        bound_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(tried - 1, 10))
        least_s = bound_s / 2 if tried >= _AT_LEAST_HALF_FROM else 0.0
        jitter_s = least_s + self._chance() * (bound_s - least_s)
        with self._lock:  # a leaky bucket: each retry books a place in time (ITU-T I.371's generic cell rate algorithm)
            now_s = self._clock()
            booked_until = max(self._booked_until, now_s) + 1 / PER_SECOND
            pause_s = jitter_s + max(0.0, booked_until - now_s - AT_ONCE / PER_SECOND)
            if pause_s >= left_s:
                return None
            self._booked_until = booked_until
        return pause_s
