"""The processes that make the load, as the sweep sees them, and what they have told."""

from __future__ import annotations

import selectors
import socket
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType

import numpy as np

from loadtest.errors import LoadTestError
from loadtest.frames import Frames, Message
from loadtest.load import Load
from loadtest.samples import Sample
from loadtest.workload import Image, Workload
from tritonclas import Tls

_ROOT = Path(__file__).parent.parent

#: Seconds between the order to begin and the begin, so that all processes begin together.
_HEAD_START_S = 0.3
#: Seconds that a process may take to end by itself.
_END_S = 10.0
#: Seconds that one may be silent beyond its requests' timeout when it ends a load.
_PATIENCE_S = 30.0


@dataclass
class Told:
    """What one process has told of the load: marks are (when, in seconds on `time.perf_counter`; value)."""

    samples: list[Sample] = field(default_factory=list)
    cpu_s: list[tuple[float, float]] = field(default_factory=list)
    lags_s: list[tuple[float, float]] = field(default_factory=list)
    warnings: set[str] = field(default_factory=set)
    settled_s: float = 0.0
    ended: bool = False

    def take(self, message: Message) -> None:
        """Add a report."""
        now_s = message["now_s"]
        self.samples += (Sample(*each) for each in message["samples"])
        self.cpu_s.append((now_s, message["cpu_s"]))
        self.lags_s += ((now_s, lag_s) for lag_s in message["lags_s"])
        self.warnings.update(message["warnings"])
        self.settled_s, self.ended = message["settled_s"], message["ended"]

    def cpu_percent(self, begin_s: float, end_s: float) -> float:
        """Of one core, between two points in time."""
        marks = np.array(self.cpu_s)
        begin, end = np.interp((begin_s, end_s), marks[:, 0], marks[:, 1])
        return float(100 * (end - begin) / (end_s - begin_s))


class Fleet:
    """So many processes of generators; a context, after which they have ended."""

    def __init__(self, processes: int) -> None:
        self.told: list[Told] = []
        self._members = [_Member() for _ in range(processes)]
        self._working: list[_Member] = []
        self._given: tuple[Image, ...] = ()
        self._selector = selectors.DefaultSelector()
        for member in self._members:
            self._selector.register(member.frames, selectors.EVENT_READ, member)

    def start(self, workload: Workload, load: Load) -> float:
        """Begin a load, shared out to the processes; when it begins."""
        if workload.pictures is not self._given:
            for member in self._members:
                member.give(workload)
            self._given = workload.pictures
        names = ("url", "model", "batch_size", "input", "timeout_s")
        about = {name: getattr(workload, name) for name in names}
        about |= {"tls": _plain(workload.tls), "headers": dict(workload.headers)}
        begin_s = time.perf_counter() + _HEAD_START_S
        shares = load.shares(len(self._members))
        self._working = self._members[: len(shares)]
        self.told = [Told() for _ in shares]
        for member, told, share in zip(self._working, self.told, shares, strict=True):
            member.told = told
            member.tell(order="run", workload=about, load=asdict(share), begin_s=begin_s)
        return begin_s

    def listen(self, timeout_s: float) -> None:
        """Take what arrives within this time; LoadTestError if a process has broken down."""
        for key, _ in self._selector.select(timeout_s):
            key.data.take()

    def stop(self, timeout_s: float, *, at_once: bool = False) -> None:
        """End the load and wait for the requests under way, which take at most `timeout_s`, or give them up."""
        for member in self._working:
            member.tell(order="stop", at_once=at_once)
        self._working = []
        limit_s = time.perf_counter() + timeout_s + _PATIENCE_S
        while not all(told.ended for told in self.told):
            if time.perf_counter() > limit_s:
                raise LoadTestError("a generator process doesn't end its load; try fewer users")
            self.listen(0.1)

    @property
    def samples(self) -> list[Sample]:
        """All requests that have ended."""
        return [sample for told in self.told for sample in told.samples]

    @property
    def count(self) -> int:
        """How many they are."""
        return sum(len(told.samples) for told in self.told)

    @property
    def settled_s(self) -> float:
        """All requests that ended before this (in an open loop: were due before it) are among the samples."""
        return min(told.settled_s for told in self.told)

    def __enter__(self) -> Fleet:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for member in self._members:
            member.frames.close()
        for member in self._members:
            member.end()
        self._selector.close()


def _plain(tls: Tls | None) -> dict[str, str | None] | None:
    """What a generator, which runs in another folder, makes it of again."""
    if tls is None:
        return None
    files = {name: getattr(tls, name) for name in ("ca", "certificate", "key")}
    return {name: path and str(Path(path).absolute()) for name, path in files.items()} | {
        "server_name": tls.server_name
    }


class _Member:
    """One process."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "loadtest.generator", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                cwd=_ROOT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # a terminal's Ctrl-C is for the sweep, which then hangs up
            )
        self.frames = Frames(ours)
        self.told = Told()

    def give(self, workload: Workload) -> None:
        """Hand the pictures over."""
        first = workload.pictures[0]
        shape = None if isinstance(first, bytes) else list(first.shape)
        contents = [each if isinstance(each, bytes) else each.tobytes() for each in workload.pictures]
        sizes = workload.sizes or (0,) * len(contents)
        self.tell(order="pictures", contents=contents, sizes=sizes, shape=shape)

    def tell(self, **message: object) -> None:
        try:
            self.frames.send(**message)
        except OSError as error:
            raise self._broken() from error

    def take(self) -> None:
        try:
            messages = self.frames.receive()
        except (EOFError, OSError) as error:
            raise self._broken() from error
        for message in messages:
            if problem := message.get("error"):
                raise LoadTestError(f"a generator process broke down ({problem})")
            self.told.take(message)

    def end(self) -> None:
        try:
            self.process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _broken(self) -> LoadTestError:
        status = self.process.wait(_END_S)
        return LoadTestError(f"a generator process ended by itself, with status {status}; its message is above if any")
