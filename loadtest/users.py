"""The users that Locust multiplies, one for each kind of load."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import count
from typing import Any, ClassVar

import gevent
from gevent.pool import Pool
from greenlet import GreenletExit
from locust import User, task
from locust.user.task import LOCUST_STATE_STOPPING

from loadtest.alarm import Alarm
from loadtest.load import Load
from loadtest.samples import IN_FLIGHT_LIMIT, NOT_SENT, Sample
from loadtest.workload import Batch, Workload

#: How long a user of a closed loop waits after a failure: a server that refuses at once isn't to be flooded.
_AFTER_FAILURE_S = 0.01


class NotSent(Exception):
    """A request was due while too many were under way."""


NotSent.__name__ = NOT_SENT


class ClassifierUser(User):  # type: ignore[misc]  # Locust publishes no types that mypy is told to follow
    """Classifies. Subclasses say when, and with which `workload`.

    A request is one batch. One that fails is Locust's failure, with the SDK's error. The request event's context has
    the `sample`.
    """

    abstract = True
    workload: ClassVar[Workload]
    _numbers = count()

    def on_start(self) -> None:
        """Connect; each user begins at other pictures."""
        self.classifier = self.workload.classifier()
        self.batches = self.workload.batches(next(self._numbers) * self.workload.batch_size)

    def classify(self, batch: Batch, begin_s: float, late_s: float = 0.0) -> bool:
        """Send one batch, take its answer and report it; whether there was one. The latency counts from `begin_s`."""
        problem: Exception | None = None
        try:
            self.classifier.probabilities(batch.images)
        except Exception as error:  # noqa: BLE001  whatever it is, it is to be counted
            problem = error
        self.report(batch, begin_s, late_s, problem)
        return problem is None

    def report(self, batch: Batch, begin_s: float, late_s: float, problem: Exception | None) -> None:
        """Tell Locust of a request that has just ended."""
        kind = None if problem is None else type(problem).__name__
        sample = Sample(begin_s, time.perf_counter(), batch.size, kind, late_s)
        self.environment.events.request.fire(
            request_type="gRPC",
            name=self.workload.title,
            response_time=sample.latency_ms,
            response_length=0,
            exception=problem,
            context={"sample": sample, "images": len(batch.images)},
        )

    def on_stop(self) -> None:
        """Disconnect."""
        self.classifier.close()


class ClosedLoopUser(ClassifierUser):
    """Sends a batch, waits for the answer, sends the next."""

    abstract = True

    @task  # type: ignore[untyped-decorator]
    def classify_batches(self) -> None:
        """Send one batch after another until the user is to stop: between tasks Locust takes time for itself."""
        while self._state != LOCUST_STATE_STOPPING:
            if not self.classify(next(self.batches), time.perf_counter()):
                gevent.sleep(_AFTER_FAILURE_S)


class OpenLoopUser(ClassifierUser):
    """Sends batches when they are due, whether or not earlier ones were answered.

    Subclasses have the `load`, and the `alarm` that the process shares. `begin_s` is when the load begins on
    `time.perf_counter`; by default when the user does.
    """

    abstract = True
    load: Load
    alarm: ClassVar[Alarm]
    begin_s: float | None = None

    def on_start(self) -> None:
        """Connect, and begin the schedule."""
        super().on_start()
        begin_s = time.perf_counter() if self.begin_s is None else self.begin_s
        self._due: Iterator[float] = self.load.due(begin_s)
        self._next_s = next(self._due)
        self._under_way: dict[int, float] = {}
        self._requests = count()
        self._pool = Pool(IN_FLIGHT_LIMIT)

    @task  # type: ignore[untyped-decorator]
    def send_when_due(self) -> None:
        """Wait until the next batch is due and send it, without waiting for its answer."""
        try:
            self.alarm.sleep_until(self._next_s)
        except GreenletExit:
            self._pool.kill()
            raise
        due_s, self._next_s = self._next_s, next(self._due)
        batch = next(self.batches)
        if self._pool.full():
            self.report(batch, due_s, 0.0, NotSent(f"{IN_FLIGHT_LIMIT} requests are under way already"))
            gevent.sleep(0)
            return
        number = next(self._requests)
        self._under_way[number] = due_s
        self._pool.spawn(self._request, number, batch, due_s)
        gevent.sleep(0)

    @property
    def settled_s(self) -> float:
        """All requests that were due before this have ended."""
        return next(iter(self._under_way.values()), self._next_s)

    def on_stop(self) -> None:
        """Wait for what is under way, and disconnect."""
        try:
            self._pool.join()
        except GreenletExit:
            self._pool.kill()
            raise
        super().on_stop()

    def _request(self, number: int, batch: Batch, due_s: float) -> None:
        try:
            self.classify(batch, due_s, time.perf_counter() - due_s)
        finally:
            del self._under_way[number]


def user_class(workload: Workload, load: Load, **more: Any) -> type[ClassifierUser]:
    """A class of users for Locust who make this load together."""
    base = ClosedLoopUser if load.users is not None else OpenLoopUser
    return type("LoadUser", (base,), {"workload": workload, "load": load, **more})
