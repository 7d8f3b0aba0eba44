"""Ctrl-C among greenlets."""

from __future__ import annotations

import signal

import gevent


def only_in_main_greenlet() -> None:
    """Let Ctrl-C raise KeyboardInterrupt where the command waits, never in the middle of a user's gRPC call."""
    hub = gevent.get_hub()
    hub.NOT_ERROR = (*hub.NOT_ERROR, KeyboardInterrupt)  # otherwise the hub prints a traceback before it passes it on
    gevent.signal_handler(signal.SIGINT, _interrupt)


def _interrupt() -> None:
    raise KeyboardInterrupt
