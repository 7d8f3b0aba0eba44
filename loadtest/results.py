"""What a sweep has measured, and `results.json`, which keeps it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from loadtest.errors import LoadTestError
from loadtest.samples import Latency, Window, failure_kinds, latency, requests_per_s
from loadtest.workload import Preprocess, Workload

FILE = "results.json"


@dataclass(frozen=True, kw_only=True)
class Header:
    """Under which conditions: `device` is the server's, `date` is in UTC and ISO 8601."""

    server_version: str
    profile: str
    device: str
    client_version: str
    date: str
    duration_s: float
    warm_up_s: float


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One model at one batch size with so many users.

    `requests` counts those that ended in the window, `failures` those of them that failed and
    `failure_kinds` these by the SDK's error class. `requests_per_s` and `images_per_s` count only answered
    ones, and so does `latency_ms`, which is None if there was none. `synthetic` means random weights.
    `generator_cpu_percent` is this process's share of one core; near 100 it has limited the figures.
    A sweep measures one window and doesn't ask the server for its times: then `windows` is 1, and
    `stable` and `server_ms` are None, which means unknown.
    """

    model: str
    batch_size: int
    users: int
    preprocess: Preprocess
    synthetic: bool
    images_per_s: float
    requests_per_s: float
    latency_ms: Latency | None
    requests: int
    failures: int
    failure_kinds: Mapping[str, int]
    generator_cpu_percent: float
    server_ms: Mapping[str, float] | None = None
    stable: bool | None = None
    windows: int = 1

    @property
    def title(self) -> str:
        """How messages name it."""
        return f"{self.model}, batch {self.batch_size}, {self.users} user{'s' * (self.users > 1)}"

    @property
    def summary(self) -> str:
        """One line for who waits."""
        typical = f", median {self.latency_ms.p50:.1f} ms" if self.latency_ms else ""
        failures = f", {self.failures} of {self.requests} requests failed" if self.failures else ""
        return f"{self.title}: {self.images_per_s:.1f} images/s{typical}{failures}"

    @property
    def failed(self) -> bool:
        """True if no request was answered."""
        return self.failures == self.requests


@dataclass(frozen=True)
class Results:
    """A sweep's header and the cells that were measured, in that order."""

    header: Header
    cells: tuple[Cell, ...] = field(default=())

    def with_cell(self, cell: Cell) -> Results:
        """The same and one more cell."""
        return replace(self, cells=(*self.cells, cell))

    def write(self, folder: Path) -> None:
        """Put `results.json` into the folder; who reads it sees the old one or the new one."""
        write_whole(folder / FILE, json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> Results:
        """What `write` has written; LoadTestError if it is something else."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return cls(Header(**content["header"]), tuple(map(_cell, content["cells"])))
        except OSError as error:
            raise LoadTestError(f"{path} can't be read ({error.strerror}); give the results.json of a sweep") from error
        except (ValueError, TypeError, KeyError) as error:
            raise LoadTestError(f"{path} isn't the results.json of a sweep ({error})") from error


def cell_of(workload: Workload, users: int, measured: Window, *, synthetic: bool, generator_cpu_percent: float) -> Cell:
    """The figures of a window."""
    rate = requests_per_s(measured)
    kinds = failure_kinds(measured)
    return Cell(
        model=workload.model,
        batch_size=workload.batch_size,
        users=users,
        preprocess=workload.preprocess,
        synthetic=synthetic,
        images_per_s=rate * workload.batch_size,
        requests_per_s=rate,
        latency_ms=latency(measured),
        requests=len(measured.samples),
        failures=sum(kinds.values()),
        failure_kinds=kinds,
        generator_cpu_percent=generator_cpu_percent,
    )


def write_whole(path: Path, text: str) -> None:
    """Write a file so that a reader never sees a part of it; LoadTestError if it can't be written."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        scratch.write_text(text, encoding="utf-8")
        scratch.replace(path)
    except OSError as error:
        raise LoadTestError(f"{path} can't be written ({error.strerror}); give --out another folder") from error


def _cell(content: dict[str, Any]) -> Cell:
    taken = content["latency_ms"]
    return Cell(**{**content, "latency_ms": None if taken is None else Latency(**taken)})
