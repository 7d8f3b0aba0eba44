"""Starts of Locust tests that are refused, and ends that lose nothing, in one process and in several."""

from __future__ import annotations

import logging
import time
from typing import Any

import gevent
from locust.runners import STATE_MISSING, MasterRunner, WorkerRunner

from loadtest.device import is_loopback

_logger = logging.getLogger("loadtest")

#: Messages: a worker can't do what is asked; the master wants the last figures; a worker has sent them.
_REFUSED, _FINISH, _FINISHED = "refused", "finish", "finished"

#: The master waits so long for the last figures, beyond the time that requests may take.
_PATIENCE_S = 5.0


def has_master_here(options: Any) -> bool:
    """True for a worker that Locust forked together with its master."""
    return bool(options.processes) and is_loopback(f"{options.master_host}:{options.master_port}")


class Control:
    """What a process does about them."""

    def __init__(self, environment: Any) -> None:
        self._environment = environment
        self._runner = environment.runner
        self._finished: set[str] = set()
        self._refused = False
        self._starting: Any = None
        if isinstance(self._runner, WorkerRunner):
            self._runner.register_message(_FINISH, self._finish, concurrent=True)
            environment.events.quitting.add_listener(self._finish)
            environment.events.test_stop.add_listener(self._be_ready_soon)
        if isinstance(self._runner, MasterRunner):
            self._runner.register_message(_REFUSED, lambda msg, **_: self._leave(msg.data["message"]))
            self._runner.register_message(_FINISHED, lambda msg, **_: self._finished.add(msg.node_id))
            environment.events.test_stopping.add_listener(self._await_workers)
            self._start, self._runner.start = self._runner.start, self._start_users
        environment.events.test_start.add_listener(self._begin)

    def refuse(self, message: str) -> None:
        """The test that is starting can't be run: say so, and stop it; without a web UI, end with status 1."""
        if not isinstance(self._runner, WorkerRunner):
            self._leave(message)
            return
        if not has_master_here(self._environment.parsed_options):  # else that says it on the same console
            _logger.error(message)
        self._runner.send_message(_REFUSED, {"message": message})

    def dismiss_workers(self) -> None:
        """Master: end the processes that Locust forked, which it would leave alone if this process ended now."""
        options = self._environment.parsed_options
        if isinstance(self._runner, MasterRunner) and options.processes:
            end_s = time.monotonic() + _PATIENCE_S
            while len(self._runner.clients) < options.processes and time.monotonic() < end_s:
                gevent.sleep(0.02)
            self._runner.quit()

    def _begin(self, **_: Any) -> None:
        self._refused = False

    def _start_users(self, *arguments: Any, **named: Any) -> None:
        """Master: Locust's own start, also of more users in a test that runs, in a greenlet that can be ended."""
        self._starting = gevent.getcurrent()
        self._start(*arguments, **named)

    def _leave(self, message: str) -> None:
        if self._refused:
            return
        self._refused = True
        _logger.error(message)
        self._runner.log_exception("master", message, message)  # the web UI shows these
        options = self._environment.parsed_options
        if options.headless:
            self._environment.process_exit_code = 1
        gevent.spawn(self._runner.quit if options.headless else self._runner.stop)

    def _finish(self, **_: Any) -> None:
        """Worker: let the users finish, and send what they did."""
        self._runner.stop_users(self._runner.user_classes_count)
        self._runner._send_stats()
        self._runner.send_message(_FINISHED)

    def _be_ready_soon(self, **_: Any) -> None:
        """Worker: after a test, Locust waits for the stop timeout once more, though all users have stopped."""
        self._environment.stop_timeout = 0.0

    def _present(self) -> set[str]:
        """The workers that haven't gone missing: Locust keeps those for a minute more."""
        return {name for name, client in self._runner.clients.items() if client.state != STATE_MISSING}

    def _await_workers(self, **_: Any) -> None:
        """Master: without this, Locust takes what arrives within half a second, and requests under way are lost.

        Users that are still to start, do so no more: workers who have ended theirs would begin again.
        """
        if isinstance(self._starting, gevent.Greenlet) and self._starting is not gevent.getcurrent():
            self._starting.kill()
        self._finished.clear()
        self._runner.send_message(_FINISH)
        end_s = time.monotonic() + self._environment.stop_timeout + _PATIENCE_S
        while self._present() - self._finished and time.monotonic() < end_s:
            gevent.sleep(0.02)
