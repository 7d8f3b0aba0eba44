"""The embedded server: the real tritonserver out of nvidia-pytriton's wheel, as a context manager."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scripts import health, in_process, preflight, processes
from scripts.errors import ServerError
from scripts.in_process import NoHost
from scripts.ports import LOOPBACK, Ports, reachable
from scripts.render import REPOSITORY
from scripts.supervise import SLACK_S
from scripts.tritonserver import Serving
from tritonclas import Tls

__all__ = ["BACKENDS", "LOOPBACK", "EmbeddedServer", "Ports"]

BACKENDS = Path(__file__).resolve().parents[1] / "backends"

_PLAIN_PATH = re.compile(r"[A-Za-z0-9/_.+-]+")
_OTHERS_WITHIN_S = 1.0
_LOG_LINES = 400
_FAILED_LOAD = re.compile(r"""\] "(failed to load '.*' version .*)"$""")
_FATAL = re.compile(r"^error: (?:creating server: )?(.*)")


@dataclass
class EmbeddedServer:
    """A tritonserver on this machine, from `with` to its end.

    `models` are loaded at the start, each with what it consists of, and no others until a client asks for
    them (model control mode `explicit`). `profile` chooses `configs/<profile>.pbtxt`. `options` go to
    tritonserver as they are; where they make it use TLS, `tls` is needed to see when it is ready, or `asks_http`, since
    HTTP has no TLS. `http_address` and `metrics_address` are `address` unless they are given. `log` is given each line
    that it prints. The backends, out of the folder `backends`, run inside tritonserver; with `isolated`, or where that
    can't be had (no compiler), each instance is a process, as in Triton's Python backend, which takes a small network
    a quarter more time. `environment` is added to its environment variables. ServerError, with the server's own
    message, if it isn't ready within `start_timeout_s` seconds.

        with EmbeddedServer(["EfficientNetB0"]) as server:
            Classifier(server.url, "EfficientNetB0")
    """

    models: Sequence[str]
    repository: Path = REPOSITORY
    profile: str | None = None
    ports: Ports = field(default_factory=Ports)
    address: str = LOOPBACK
    http_address: str | None = None
    metrics_address: str | None = None
    options: Sequence[str] = ()
    tls: Tls | None = None
    asks_http: bool = False
    isolated: bool = False
    backends: Path = BACKENDS
    environment: Mapping[str, str] = field(default_factory=dict)
    start_timeout_s: float = 300.0
    exit_timeout_s: int = 10
    log: Callable[[str], None] = lambda line: None

    def __post_init__(self) -> None:
        self._resources = contextlib.ExitStack()
        self._lines: deque[str] = deque(maxlen=_LOG_LINES)

    @property
    def url(self) -> str:
        """The gRPC endpoint, HOST:PORT."""
        return f"{reachable(self.address)}:{self.ports.grpc}"

    @property
    def process(self) -> subprocess.Popen[str]:
        """The running tritonserver."""
        return self._process

    def __enter__(self) -> EmbeddedServer:
        preflight.check()
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tritonclas-", dir=_plain_folder())))
            # A link, because Triton starts its stubs through a shell, with the path as it is, spaces and all.
            (folder / "models").symlink_to(self.repository.resolve(), target_is_directory=True)
            self._make_backends(folder)
            self.ports = self.ports.chosen(self.address, self.http_address, self.metrics_address)
            self._process = processes.start(self._command(folder), _environment() | dict(self.environment))
            stack.callback(self._terminate)
            self._reader = threading.Thread(target=self._read, daemon=True)
            self._reader.start()
            self._wait_ready()
            self._resources = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    def stop(self) -> None:
        """Stop the server and remove what it needed; nothing happens if that was done."""
        self._resources.close()

    def _terminate(self) -> None:
        processes.stop(self._process, self.exit_timeout_s + SLACK_S)
        self._reader.join(timeout=5)

    def _command(self, folder: Path) -> list[str]:
        served = Serving(
            models=self.models,
            repository=folder / "models",
            profile=self.profile,
            address=self.address,
            http_address=self.http_address,
            metrics_address=self.metrics_address,
            ports=self.ports,
            exit_timeout_s=self.exit_timeout_s,
            options=[f"--cache-directory={preflight.tritonserver() / 'caches'}", *self.options],
        )
        return served.command(preflight.tritonserver() / "bin" / "tritonserver", folder / "backends")

    def _make_backends(self, folder: Path) -> None:
        """The backend folder, of copies, because Triton refuses links that lead out of it."""
        backends = folder / "backends"
        python = backends / "python"
        shutil.copytree(self.backends, backends, ignore=shutil.ignore_patterns("__pycache__", "in_process", "shared"))
        for module in (self.backends / "shared").glob("*.py"):
            for backend in backends.iterdir():
                shutil.copy2(module, backend)
        shutil.copytree(preflight.tritonserver() / "backends" / "python", python)
        shutil.copy2(preflight.stub(), python)
        if self.isolated:
            return
        try:
            in_process.install(backends)
        except NoHost as error:
            self.log(f"the backends run in processes of their own, which is slower: {error}")

    def _read(self) -> None:
        assert self._process.stdout
        with self._process.stdout as output:
            for line in output:
                self._lines.append(line.rstrip("\n"))
                with contextlib.suppress(OSError):  # nobody reads our output any more; the server's must still be read
                    self.log(line.rstrip("\n"))

    def _wait_ready(self) -> None:
        end = time.monotonic() + self.start_timeout_s
        while time.monotonic() < end:
            if self._process.poll() is not None:
                self._reader.join(timeout=5)
                raise ServerError(self._reason())
            if self._is_ready():
                return self._wait_for_others()
        raise ServerError(f"the server wasn't ready after {self.start_timeout_s:g} s; {self._reason()}")

    def _is_ready(self) -> bool:
        if self.asks_http:
            return health.ready_over_http(reachable(self.http_address or self.address), self.ports.http)
        return health.ready_over_grpc(self.url, self.tls, self.models)

    def _wait_for_others(self) -> None:
        """It opens the other ports a moment after gRPC's, unless options tell it not to."""
        end = time.monotonic() + _OTHERS_WITHIN_S
        others = [
            (reachable(self.address), self.ports.grpc),
            (reachable(self.http_address or self.address), self.ports.http),
            (reachable(self.metrics_address or self.address), self.ports.metrics),
        ]
        while time.monotonic() < end and not all(health.listens(*other) for other in others):
            pass

    def _reason(self) -> str:
        """Why it didn't start, in the server's own words."""
        return "\n  ".join(["the server didn't start:", *_said(self._lines.copy())])


def _said(lines: Iterable[str]) -> list[str]:
    """What the log says of models that failed, or of the end; without tracebacks, or its last lines if neither."""
    for pattern in (_FAILED_LOAD, _FATAL):
        if found := [match[1].partition("\\n\\nAt:")[0] for line in lines if (match := pattern.search(line))]:
            return found
    return list(lines)[-10:]


def _plain_folder() -> str | None:
    """Where temporary files go: where they always do, unless a shell would take that path for something else."""
    return None if _PLAIN_PATH.fullmatch(tempfile.gettempdir()) else "/tmp"  # noqa: S108


def _environment() -> dict[str, str]:
    """Libraries and modules as the server and its stubs must find them: this interpreter's, and no others.

    The stub takes the first `python3` on PATH for the interpreter that it belongs to, and so finds the
    modules of that one's virtual environment; it doesn't read PYTHONPATH.
    """
    libraries = (preflight.libpython().parent, preflight.shared_libraries())
    return os.environ | {
        "LD_LIBRARY_PATH": os.pathsep.join(map(str, libraries)),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "OPENCV_LOG_LEVEL": "ERROR",
        in_process.PYTHON: sys.executable,
    }
