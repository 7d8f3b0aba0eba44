"""Starting other programs so that none is ever left running."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_AGAIN_S = 0.05
_LIBC = ctypes.CDLL(None, use_errno=True)


def start(
    command: Sequence[str], environment: Mapping[str, str], *, output: int | None = subprocess.PIPE
) -> subprocess.Popen[str]:
    """Start a program in a session of its own, its two outputs in one text pipe; without `output`, where ours go.

    A Ctrl-C in the terminal reaches only us, and we stop the program in order. Should we be killed
    ourselves, the kernel ends it with SIGTERM. Call it from the main thread: the kernel takes the end
    of the thread that started a program for the end of its parent.
    """
    return subprocess.Popen(
        command,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=None if output is None else subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
        preexec_fn=partial(die_with, os.getpid(), signal.SIGTERM),  # noqa: PLW1509  only two system calls happen there
    )


def die_with(parent: int, number: signal.Signals) -> None:
    """Ask the kernel to send this process a signal when its parent ends; end at once if it has."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os._exit(1)


def stop(process: subprocess.Popen[str], grace_s: float) -> None:
    """End a program: SIGTERM, and after `grace_s` seconds SIGKILL, also for what it has started itself."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace_s)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextlib.contextmanager
def termination_as_interrupt() -> Iterator[None]:
    """Let SIGTERM and SIGHUP unwind the program as Ctrl-C does, so that it cleans up behind itself.

    Neither they nor Ctrl-C get lost where they come while a destructor runs, which Python doesn't unwind.
    """

    def interrupt(number: int, _frame: object) -> None:
        raise Terminated(number)

    wanted = [each for each in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(each) is not signal.SIG_IGN]  # nohup
    previous = {number: signal.signal(number, interrupt) for number in wanted}
    hook, sys.unraisablehook = sys.unraisablehook, _again
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number, handler in previous.items():
            signal.signal(number, handler)


class Terminated(SystemExit):
    """SIGTERM or SIGHUP has come; the exit status is the shell's for that signal."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number


def _again(swallowed: sys.UnraisableHookArgs) -> None:
    """Send a signal again, a moment later, whose exception went no further than a destructor; report all others."""
    exception = swallowed.exc_value
    if isinstance(exception, (Terminated, KeyboardInterrupt)):
        number = exception.number if isinstance(exception, Terminated) else signal.SIGINT
        sender = threading.Timer(_AGAIN_S, os.kill, (os.getpid(), number))
        sender.daemon = True
        sender.start()
    else:
        sys.__unraisablehook__(swallowed)
