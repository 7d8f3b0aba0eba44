"""A command that is started again whenever it ends: what systemd, Docker's restart policy or Kubernetes does."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType

import psutil

from scripts.embedded import Ports
from scripts.zoo.memory import tree

_ROOT = Path(__file__).resolve().parents[1]
_AGAIN_S = 0.1
_END_S = 30.0


class Supervised:
    """`python -m scripts.serve` with these arguments, at the same ports each time, from `with` to its end."""

    def __init__(self, *arguments: object) -> None:
        self.ports = Ports().chosen()
        ports = ("--grpc-port", self.ports.grpc, "--http-port", self.ports.http, "--metrics-port", self.ports.metrics)
        self._command = [sys.executable, "-m", "scripts.serve", *map(str, (*arguments, *ports))]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._process: subprocess.Popen[bytes] | None = None
        self.statuses: list[int] = []

    def __enter__(self) -> Supervised:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    @property
    def url(self) -> str:
        """The gRPC endpoint."""
        return f"127.0.0.1:{self.ports.grpc}"

    def processes(self, name: str, argument: str = "") -> list[psutil.Process]:
        """Those of it that run now, whose name begins so and that have such an argument."""
        found = tree(self._process.pid) if self._process else []
        return [each for each in found if _is(each, name, argument)]

    def _watch(self) -> None:
        while not self._over.is_set():
            self._process = subprocess.Popen(
                self._command, cwd=_ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
            )
            while self._process.poll() is None and not self._over.wait(_AGAIN_S):
                pass
            if self._process.poll() is None:
                _end(self._process)
                return
            self.statuses.append(self._process.returncode)


def _is(process: psutil.Process, name: str, argument: str) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.name().startswith(name) and any(argument in each for each in process.cmdline())
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()  # the kernel then ends the server that it has started
        process.wait()
