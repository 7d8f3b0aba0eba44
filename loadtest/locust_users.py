"""The class of users that Locust multiplies: made anew at each start of a test, for what is to be sent then."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import count
from typing import Any

import gevent
from greenlet import GreenletExit
from locust import User
from locust.user.task import LOCUST_STATE_STOPPING

from loadtest.alarm import Alarm
from loadtest.load import Load
from loadtest.users import ClosedLoopUser, OpenLoopUser
from loadtest.workload import Workload

#: What Locust calls the users.
NAME = "BatchUser"

#: An idle user of an open loop notices within so many seconds that it is to stop.
_NOTICE_S = 0.2

#: Users that begin together are spread over the interval between requests: number times this, without the whole part.
_GOLDEN = 0.6180339887498949

_PROCESS_SEED = 1_000_003


class TurnsUser(OpenLoopUser):
    """One of several users of an open loop, each with a schedule of its own. `process` tells processes apart."""

    abstract = True
    process = 0
    _turns = count()

    def on_start(self) -> None:
        """Connect, and begin a schedule that is no other user's."""
        number = next(self._turns)
        place = self.process * _PROCESS_SEED + number
        self.load = replace(type(self).load, phase=place * _GOLDEN % 1, seed=place)
        super().on_start()

    def wait_and_send(self) -> None:
        """Send the next batch when it is due, unless the user is to stop before."""
        while (left_s := self._next_s - time.perf_counter()) > _NOTICE_S:
            gevent.sleep(min(left_s - _NOTICE_S / 2, _NOTICE_S))
            if self._state == LOCUST_STATE_STOPPING:
                return
        self.send_when_due()


TurnsUser.tasks = [TurnsUser.wait_and_send]


class RefusedUser(User):  # type: ignore[misc]  # Locust publishes no types that mypy is told to follow
    """Ends at once: of a test that can't be run as it was asked for."""

    abstract = True

    def on_start(self) -> None:
        """End. Of any other exception Locust would log the traceback."""
        raise GreenletExit


class Users:
    """Makes the classes of a process."""

    def __init__(self) -> None:
        self._alarm: Alarm | None = None

    def of(self, workload: Workload, load: Load, process: int) -> type[User]:
        """Users who each make this load."""
        if load.users is not None:
            return _named(ClosedLoopUser, workload=workload)
        if self._alarm is None:
            self._alarm = Alarm()  # a thread: none before it is needed, nor before Locust forks
        return _named(TurnsUser, workload=workload, load=load, alarm=self._alarm, process=process)

    @staticmethod
    def refused() -> type[User]:
        """Users who do nothing."""
        return _named(RefusedUser)


def _named(base: type[User], **attributes: Any) -> type[User]:
    return type(NAME, (base,), attributes)
