"""The embedded server: the real tritonserver out of nvidia-pytriton's wheel, as a context manager."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scripts import in_process, preflight, processes
from scripts.errors import ServerError
from scripts.in_process import NoHost
from scripts.render import REPOSITORY
from tritonclas import AccessDenied, ModelServer, Tls, TritonClasError

BACKENDS = Path(__file__).resolve().parents[1] / "backends"
LOOPBACK = "127.0.0.1"
EVERYWHERE = "0.0.0.0"  # noqa: S104  only where a user asks for it

_PLAIN_PATH = re.compile(r"[A-Za-z0-9/_.+-]+")
_EXIT_TIMEOUT_S = 10
_KNOCK_S = 0.01
_OTHERS_WITHIN_S = 1.0
_LOG_LINES = 400
_FAILED_LOAD = re.compile(r"""\] "(failed to load '.*' version .*)"$""")
_FATAL = re.compile(r"^error: (?:creating server: )?(.*)")


@dataclass(frozen=True)
class Ports:
    """Ports of the three protocols; 0 takes a free one."""

    grpc: int = 0
    http: int = 0
    metrics: int = 0

    def chosen(self, address: str = LOOPBACK) -> Ports:
        """The same with a port free at `address` for every 0; ServerError if one that is given is taken."""
        with contextlib.ExitStack() as stack:  # all held until all are chosen, so that no two are the same
            sockets = [stack.enter_context(_bound(address, port)) for port in (self.grpc, self.http, self.metrics)]
            return Ports(*(bound.getsockname()[1] for bound in sockets))


@contextlib.contextmanager
def _bound(address: str, port: int) -> Iterator[socket.socket]:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise ServerError(
                    f"can't listen at {address} ({error.strerror}); give one of its IPv4 addresses"
                ) from error
            raise ServerError(
                f"port {port} can't be used ({error.strerror}); choose another, or 0 for a free one"
            ) from error
        yield probe


@dataclass
class EmbeddedServer:
    """A tritonserver on this machine, from `with` to its end.

    `models` are loaded at the start, each with what it consists of, and no others until a client asks for
    them (model control mode `explicit`). `profile` chooses `configs/<profile>.pbtxt`. `options` go to
    tritonserver as they are; `tls` is needed to reach it where they make it use TLS. `log` is given each line that
    it prints. The backends, out of the folder `backends`, run inside tritonserver; with `isolated`, or where that can't
    be had (no compiler), each instance is a process, as in Triton's Python backend, which takes a small network a
    quarter more time. `environment` is added to its environment variables. ServerError, with the server's own message,
    if it isn't ready within `start_timeout_s` seconds.

        with EmbeddedServer(["EfficientNetB0"]) as server:
            Classifier(server.url, "EfficientNetB0")
    """

    models: Sequence[str]
    repository: Path = REPOSITORY
    profile: str | None = None
    ports: Ports = field(default_factory=Ports)
    address: str = LOOPBACK
    options: Sequence[str] = ()
    tls: Tls | None = None
    isolated: bool = False
    backends: Path = BACKENDS
    environment: Mapping[str, str] = field(default_factory=dict)
    start_timeout_s: float = 300.0
    log: Callable[[str], None] = lambda line: None

    def __post_init__(self) -> None:
        self._resources = contextlib.ExitStack()
        self._lines: deque[str] = deque(maxlen=_LOG_LINES)

    @property
    def url(self) -> str:
        """The gRPC endpoint, HOST:PORT."""
        return f"{LOOPBACK if self.address == EVERYWHERE else self.address}:{self.ports.grpc}"

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
            self.ports = self.ports.chosen(self.address)
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
        processes.stop(self._process, _EXIT_TIMEOUT_S + 5)
        self._reader.join(timeout=5)

    def _command(self, folder: Path) -> list[str]:
        return [
            str(preflight.tritonserver() / "bin" / "tritonserver"),
            f"--model-repository={folder / 'models'}",
            f"--backend-directory={folder / 'backends'}",
            "--model-control-mode=explicit",
            *(f"--load-model={model}" for model in self.models),
            *([f"--model-config-name={self.profile}"] if self.profile else []),
            f"--grpc-address={self.address}",
            f"--http-address={self.address}",
            f"--metrics-address={self.address}",
            f"--grpc-port={self.ports.grpc}",
            f"--http-port={self.ports.http}",
            f"--metrics-port={self.ports.metrics}",
            f"--exit-timeout-secs={_EXIT_TIMEOUT_S}",
            f"--cache-directory={preflight.tritonserver() / 'caches'}",
            "--disable-auto-complete-config",
            *self.options,
        ]

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
        with ModelServer(self.url, tls=self.tls) as server:
            while time.monotonic() < end:
                if self._process.poll() is not None:
                    self._reader.join(timeout=5)
                    raise ServerError(self._reason())
                if not self._listens(self.ports.grpc):  # gRPC itself would try again only later, and ever later
                    time.sleep(_KNOCK_S)
                    continue
                try:
                    server.wait_ready(self.models, timeout_s=0.5)
                except AccessDenied:
                    pass  # its health is restricted, but it answers, which it does once its models are loaded
                except TritonClasError:
                    continue
                return self._wait_for_others()
        raise ServerError(f"the server wasn't ready after {self.start_timeout_s:g} s; {self._reason()}")

    def _wait_for_others(self) -> None:
        """It opens the other ports a moment after gRPC's, unless options tell it not to."""
        end = time.monotonic() + _OTHERS_WITHIN_S
        while time.monotonic() < end:
            if self._listens(self.ports.http) and self._listens(self.ports.metrics):
                return
            time.sleep(_KNOCK_S)

    def _listens(self, port: int) -> bool:
        with socket.socket() as knocking:
            return knocking.connect_ex((self.url.rsplit(":", 1)[0], port)) == 0

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
