"""A process that makes load: Locust's users, and what they see told to the sweep that started it.

It obeys messages on the socket whose number is its argument:
`pictures` (what is to be sent), `run` (begin a load) and `stop` (end it). While it runs it sends
a report four times a second: the requests that have ended, and how the process fares. Without the other end it ends.
"""

from __future__ import annotations

from loadtest import gevent_first  # noqa: F401

# isort: split

import gc
import logging
import socket
import sys
import time
import traceback
from collections.abc import Iterable
from typing import Any

import gevent
import numpy as np
from locust.env import Environment
from locust.event import EventHook

from loadtest.alarm import Alarm
from loadtest.frames import Frames, Message
from loadtest.heard import Heard
from loadtest.load import Load
from loadtest.samples import Sample
from loadtest.users import OpenLoopUser, user_class
from loadtest.workload import Image, Workload
from tritonclas import Tls

REPORT_S = 0.25
#: How often the event loop's lag is measured.
_LAG_S = 0.04


class Generator:
    """The process's side of the connection."""

    def __init__(self, frames: Frames) -> None:
        self.frames = frames
        self.heard = Heard()
        self.alarm = Alarm()
        self.pictures: tuple[Image, ...] = ()
        self.sizes: tuple[int, ...] = ()
        self._samples: list[Sample] = []
        self._lags_s: list[float] = []
        self._environment: Any = None
        self._running = False
        self._watchers: list[Any] = []
        self._ending: Any = None

    def obey(self) -> None:
        """Do what the messages say, until the other end is gone."""
        orders = {"pictures": self.take_pictures, "run": self.run, "stop": self.stop}
        with self.heard:
            for message in self.frames:
                orders[message.pop("order")](message)
            if self._environment:
                self.stop({"at_once": True})
                self._ending.join()

    def take_pictures(self, message: Message) -> None:
        """Keep what is to be sent: encoded files, or crops if there is a shape."""
        contents, shape = message["contents"], message["shape"]
        self.pictures = tuple(np.frombuffer(each, np.uint8).reshape(shape) for each in contents) if shape else contents
        self.sizes = tuple(message["sizes"])

    def run(self, message: Message) -> None:
        """Begin a load."""
        about = message["workload"]
        tls = Tls(**about.pop("tls")) if about["tls"] else about.pop("tls")
        workload = Workload(pictures=self.pictures, sizes=self.sizes, tls=tls, **about)
        load = Load(**message["load"])
        users = user_class(workload, load, alarm=self.alarm, begin_s=message["begin_s"])
        self._environment = Environment(user_classes=[users], stop_timeout=workload.timeout_s)
        runner = self._environment.create_local_runner()
        self._environment.events.request = EventHook()  # without Locust's own statistics, which nobody reads here
        self._environment.events.request.add_listener(self._keep)
        gc.unfreeze()
        gc.collect()
        gc.freeze()  # the pictures and the modules needn't be looked at again while users wait
        self.alarm.sleep_until(message["begin_s"])
        count = load.users or 1
        runner.start(count, spawn_rate=count)
        self._running = True
        self._watchers = [gevent.spawn(self._report_always), gevent.spawn(self._watch_lag)]

    def stop(self, message: Message) -> None:
        """End the load: after the requests under way, or at once, also where the former was asked for before."""
        if self._environment is None:
            return
        runner = self._environment.runner
        if message["at_once"]:
            self._environment.stop_timeout = 0
            runner.user_greenlets.kill(block=False)
        self._ending = self._ending or gevent.spawn(self._end, runner)

    def _end(self, runner: Any) -> None:
        try:
            runner.quit()
            self._running = False  # a report that is being sent is sent to its end
            gevent.joinall(self._watchers)
            self._environment = self._ending = None
            self._report(ended=True)  # the next order may come while it is sent
        except Exception:  # noqa: BLE001
            _tell_error(self.frames)

    def _keep(self, context: dict[str, Any], **_: Any) -> None:
        self._samples.append(context["sample"])

    def _report_always(self) -> None:
        while self._running:
            self._report(ended=False)
            gevent.sleep(REPORT_S)

    def _report(self, *, ended: bool) -> None:
        now_s = time.perf_counter()
        greenlets = [] if ended else self._environment.runner.user_greenlets
        settled_s = min([now_s, *(user.settled_s for user in _open_users(greenlets))])
        samples, self._samples = self._samples, []
        lags_s, self._lags_s = self._lags_s, []
        warnings, self.heard.warnings = self.heard.warnings, []
        try:
            self.frames.send(
                now_s=now_s,
                cpu_s=time.process_time(),
                settled_s=settled_s,
                samples=samples,
                lags_s=lags_s,
                warnings=warnings,
                ended=ended,
            )
        except OSError:
            return  # the sweep is gone; reading from it ends too

    def _watch_lag(self) -> None:
        while self._running:
            due_s = time.perf_counter() + _LAG_S
            self.alarm.sleep_until(due_s)
            self._lags_s.append(time.perf_counter() - due_s)


def _open_users(greenlets: Iterable[Any]) -> list[OpenLoopUser]:
    """Users of an open loop whose schedule has begun; a greenlet that has ended has no arguments any more."""
    users = [each.args[0] for each in greenlets if each.args]
    return [user for user in users if isinstance(user, OpenLoopUser) and hasattr(user, "_pool")]


def _tell_error(frames: Frames) -> None:
    """Of the exception that is being handled, one line, which the sweep says."""
    frames.send(error=traceback.format_exc().strip().splitlines()[-1])


def main() -> None:
    """Serve the socket that was inherited."""
    logging.basicConfig(level=logging.ERROR)  # Locust warns of a busy generator, which the report does for each cell
    frames = Frames(socket.socket(fileno=int(sys.argv[1])))
    try:
        Generator(frames).obey()
    except Exception:  # noqa: BLE001
        _tell_error(frames)


if __name__ == "__main__":
    main()
