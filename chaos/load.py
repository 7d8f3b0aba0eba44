"""Calls through the SDK while something else happens, and how each ended."""

from __future__ import annotations

import threading
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType

from bench.open_loop import arrivals
from scripts.photographs import EXAMPLES
from tritonclas import Classifier, TritonClasError

#: How a call ends that gets its right answer; all others end with the name of an error.
ANSWERED = "answered"

#: Small, and with its real weights: an answer that is wrong is seen to be.
MODEL = "EfficientNetLite0"
PICTURES = tuple(path.read_bytes() for path in sorted(EXAMPLES.glob("*.jpg")))

#: Seconds that a call may go on after its load has ended, before it counts as lost.
LOST_AFTER_S = 40.0


class WrongAnswer(Exception):
    """An answer came, and it isn't the one that the same picture gets without a fault."""


class Asking:
    """Classifies the example pictures in turn; WrongAnswer unless each gets its usual first class."""

    def __init__(self, classifier: Classifier, timeout_s: float | None = None) -> None:
        self._classifier = classifier
        self._timeout_s = timeout_s
        self._known = [classifier.classify(picture, top_k=1).top.index for picture in PICTURES]
        self._asked = 0

    def __call__(self) -> None:
        turn = self._asked % len(PICTURES)
        self._asked += 1  # should two threads take the same turn, both ask the same
        found = self._classifier.classify(PICTURES[turn], top_k=1, timeout_s=self._timeout_s).top.index
        if found != self._known[turn]:
            raise WrongAnswer(f"class {found} instead of {self._known[turn]}")


@dataclass(frozen=True)
class Ended:
    """A call: when it was due, when it ended (seconds on the monotonic clock), and how."""

    due_s: float
    end_s: float
    how: str


class Load:
    """Threads that call until the end of a `with` block.

    Without `per_s` each calls again as soon as it is answered (a closed loop). With it, so many calls a second are due
    at random times, whatever became of those before (an open loop); one that finds all `workers` busy is made late, and
    its time counts from when it was due.
    """

    def __init__(self, ask: Callable[[], object], *, workers: int, per_s: float | None = None) -> None:
        self._ask = ask
        self._per_s = per_s
        self._due_s, self._end_s = array("d"), array("d")  # 24 bytes a call: what is watched for growth is this process
        self._how: list[str] = []
        self._taken = 0
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(workers)]

    def __enter__(self) -> Load:
        begin_s = time.monotonic()
        self._due: Iterator[float] = arrivals(self._per_s, begin_s) if self._per_s else _at_once()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._over.set()
        end_s = time.monotonic() + (0 if error else LOST_AFTER_S)
        for thread in self._threads:
            thread.join(max(0.0, end_s - time.monotonic()))

    def _work(self) -> None:
        while True:
            with self._lock:
                due_s = next(self._due)
            if self._over.wait(due_s - time.monotonic()):
                return
            with self._lock:
                self._taken += 1
            how = _how(self._ask)
            with self._lock:
                self._due_s.append(due_s)
                self._end_s.append(time.monotonic())
                self._how.append(how)

    @property
    def calls(self) -> list[Ended]:
        """Those that have ended so far, in that order."""
        with self._lock:
            return list(map(Ended, self._due_s, self._end_s, self._how))

    @property
    def ended(self) -> dict[str, int]:
        """How many have ended how."""
        return dict(Counter(call.how for call in self.calls))

    @property
    def lost(self) -> int:
        """Calls that haven't ended; asked after the `with` block, they never did."""
        with self._lock:
            return self._taken - len(self._how)

    def times_ms(self, since_s: float = 0.0, until_s: float = float("inf")) -> list[float]:
        """What calls took that were due in this time and were answered, from the shortest to the longest."""
        return sorted(
            1000 * (call.end_s - call.due_s)
            for call in self.calls
            if call.how == ANSWERED and since_s <= call.due_s < until_s
        )

    def answered_ms_after(self, moment_s: float) -> float:
        """Milliseconds from a moment until the first answer to a call that was due after it; infinite without one."""
        return min(
            (1000 * (call.end_s - moment_s) for call in self.calls if call.how == ANSWERED and call.due_s >= moment_s),
            default=float("inf"),
        )

    def wait_for_answers(self, count: int, limit_s: float = 30.0) -> bool:
        """Wait until so many more calls that are made from now on are answered; whether they were."""
        since_s = time.monotonic()
        while time.monotonic() < since_s + limit_s:
            if len(self.times_ms(since_s)) >= count:
                return True
            time.sleep(0.01)
        return False


def _at_once() -> Iterator[float]:
    while True:
        yield time.monotonic()


def _how(ask: Callable[[], object]) -> str:
    try:
        ask()
    except (TritonClasError, WrongAnswer) as error:
        return type(error).__name__
    except Exception as error:  # noqa: BLE001  whatever else is raised is a failure, to be counted and named
        return f"{type(error).__name__} (not the SDK's)"
    return ANSWERED
