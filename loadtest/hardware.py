"""The server's hardware: what Triton's metrics endpoint tells of it, and what nvidia-smi does if it is here."""

from __future__ import annotations

import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType

import requests
from prometheus_client.parser import text_string_to_metric_families

from loadtest.errors import LoadTestError

#: Triton's gauges without `nv_`: a share of all GPUs or CPUs, or a sum over them.
_SHARES = ("gpu_utilization", "cpu_utilization")
_SUMS = ("gpu_memory_used_bytes", "gpu_power_usage", "cpu_memory_used_bytes")

_EVERY_S = 1.0
_TIMEOUT_S = 2.0

Gauges = Mapping[str, float]
Mark = tuple[float, Gauges]


def gauges(text: str) -> dict[str, float]:
    """The hardware's gauges out of a page in Prometheus's text format; ValueError if it is none."""
    found: dict[str, list[float]] = defaultdict(list)
    for family in text_string_to_metric_families(text):
        name = family.name.removeprefix("nv_")
        if family.name.startswith("nv_") and name in (*_SHARES, *_SUMS):
            found[name] += (sample.value for sample in family.samples)
    return {
        name: sum(values) / len(values) if name in _SHARES else sum(values) for name, values in found.items() if values
    }


def metrics_url(url: str) -> str:
    """Where Triton's metrics are by its own numbering: at the port after gRPC's (`url` is that one's HOST:PORT)."""
    host, _, port = url.rpartition(":")
    return f"http://{host}:{int(port) + 1}/metrics"


class Gauging:
    """Reads the metrics once a second; a context. Without a metrics endpoint it has nothing to say."""

    def __init__(self, url: str, every_s: float = _EVERY_S) -> None:
        self._url = url
        self._every_s = every_s
        self._marks: list[Mark] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._read_on, daemon=True)

    def check(self) -> None:
        """LoadTestError unless Triton's metrics are there."""
        try:
            with _session() as session:
                found = self._read(session)
        except (requests.ConnectionError, requests.Timeout) as error:
            raise LoadTestError(f"--metrics-url {self._url}: nobody answers there") from error
        except (requests.RequestException, ValueError) as error:
            raise LoadTestError(f"--metrics-url {self._url} has no metrics ({error})") from error
        if not found:
            raise LoadTestError(f"--metrics-url {self._url} has metrics, but none of Triton's CPU or GPU")

    def average(self, begin_s: float, end_s: float) -> Gauges | None:
        """Each gauge's average between two points in time; None if nothing was read."""
        marks = [found for at_s, found in self._marks if begin_s <= at_s <= end_s]
        names = sorted({name for found in marks for name in found})
        return {name: _mean([found[name] for found in marks if name in found]) for name in names} or None

    def __enter__(self) -> Gauging:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _read_on(self) -> None:
        with _session() as session:
            while not self._over.is_set():
                with suppress(requests.RequestException, ValueError):  # busy, or there is none
                    self._marks.append((time.perf_counter(), self._read(session)))
                self._over.wait(self._every_s)

    def _read(self, session: requests.Session) -> Gauges:
        page = session.get(self._url, timeout=_TIMEOUT_S)
        page.raise_for_status()
        return gauges(page.text)


def _session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # a proxy on the way would be what is measured
    return session


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


Run = Callable[..., "subprocess.CompletedProcess[str]"]


def gpus_here(run: Run = subprocess.run) -> tuple[str, str] | None:
    """Names of this machine's GPUs and the driver's version as nvidia-smi tells them; None without one."""
    query = ("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader")
    try:
        done = run(query, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    rows = [line.rpartition(",") for line in done.stdout.splitlines() if "," in line]
    names = [name.strip() for name, _, _ in rows]
    if not rows:
        return None
    counted = (f"{names.count(name)} x {name}" if names.count(name) > 1 else name for name in dict.fromkeys(names))
    return ", ".join(counted), rows[0][2].strip()
