"""A measured cell: one model, one batch size, one load, one kind of input, and all that was seen of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from loadtest.load import Arrivals, Load
from loadtest.samples import Latency
from loadtest.workload import Input

#: Where a request's time goes on the server, in its order: the keys of `Cell.server_ms`.
SERVER_STEPS = ("queue", "preprocess", "network_queue", "compute_input", "compute_infer", "compute_output")


class Key(NamedTuple):
    """What tells a cell from the other cells of a sweep; `load` in words."""

    model: str
    batch_size: int
    load: str
    input: Input

    @property
    def title(self) -> str:
        """How messages name the cell."""
        other = f", {self.input}" if self.input != "encoded" else ""
        return f"{self.model}, batch {self.batch_size}, {self.load}{other}"


@dataclass(frozen=True, kw_only=True)
class SizeClass:
    """Requests whose largest picture is of one size class, such as "up to 0.5 MP"; all images of them count."""

    requests: int
    images_per_s: float
    latency_ms: Latency | None


@dataclass(frozen=True, kw_only=True)
class Generator:
    """How the process that made the load fared; of several processes the one that fared worst.

    `cpu_percent` is of one core. `loop_lag_ms` is how late its event loop was (99th percentile), `average_lag_ms` on
    average, and `late_start_ms` how late requests started against their schedule (99th percentile; None in a closed
    loop).
    `bound` gives the reasons why the figures may be the generator's and not the server's; empty if there are none.
    """

    cpu_percent: float
    loop_lag_ms: float | None = None
    average_lag_ms: float | None = None
    late_start_ms: float | None = None
    bound: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Cell:
    """The load and what came of it.

    A **closed loop** has `users`, each of whom sends a request when the last one is answered, and `rate_per_s` is
    None. An **open loop** has `rate_per_s`, the requests a second that were due, with `arrivals` at constant or at
    random (`poisson`) distances, whether or not earlier ones were answered; then `users` is None, and latency counts
    from the time when a request was due.

    `requests` counts those of the measured windows, `failures` those of them that failed and `failure_kinds` these
    by the SDK's error class. `requests_per_s`, `images_per_s`, `latency_ms` (None if there was none) and
    `quantiles_ms` (at 0, 1, … 100 %) are of answered requests only.

    `windows` counts the windows that were measured, and `window_images_per_s` and `window_latency_ms` (the average)
    are theirs in order; the figures are those of the last three. `stable` says that these three agree within 10 %,
    None that it isn't known. `saturated` says of an open loop that the server couldn't keep up with the rate.

    `server_ms` has the server's own times of an average request (SERVER_STEPS), `server_total_ms` its whole time
    there, and `outside_ms` the rest of the client's average: network, gRPC and client. Triton counts a request until
    it has let go of it, a moment after its answer is on the way: on a busy machine the rest can be slightly negative.
    `batch_sizes` counts the network's executions by the number of images (a string) that were computed at once.
    `other_requests` were somebody else's in the same time, to whichever model. `hardware` has averages from the
    metrics endpoint, by Triton's names without `nv_`: `gpu_utilization` and `cpu_utilization` (0 to 1),
    `gpu_memory_used_bytes`, `cpu_memory_used_bytes`, `gpu_power_usage` (watts). All of these are None, or empty, where
    the server doesn't tell.

    `by_size` breaks encoded input down by the pictures' size. `synthetic` means random weights.
    """

    model: str
    batch_size: int
    users: int | None
    rate_per_s: float | None = None
    arrivals: Arrivals | None = None
    input: Input = "encoded"
    synthetic: bool
    images_per_s: float
    requests_per_s: float
    latency_ms: Latency | None
    quantiles_ms: tuple[float, ...] = ()
    requests: int
    failures: int
    failure_kinds: Mapping[str, int]
    stable: bool | None = None
    saturated: bool = False
    windows: int = 1
    window_images_per_s: tuple[float, ...] = ()
    window_latency_ms: tuple[float, ...] = ()
    generator_cpu_percent: float
    generator: Generator | None = None
    server_ms: Mapping[str, float] | None = None
    server_total_ms: float | None = None
    outside_ms: float | None = None
    batch_sizes: Mapping[str, int] = field(default_factory=dict)
    other_requests: int = 0
    hardware: Mapping[str, float] | None = None
    by_size: Mapping[str, SizeClass] = field(default_factory=dict)

    @property
    def load(self) -> str:
        """The load in words."""
        return str(Load(self.users, self.rate_per_s, self.arrivals or "constant"))

    @property
    def key(self) -> Key:
        """What tells it from the other cells of a sweep."""
        return Key(self.model, self.batch_size, self.load, self.input)

    @property
    def summary(self) -> str:
        """One line for who waits."""
        typical = f", median {self.latency_ms.p50:.1f} ms" if self.latency_ms else ""
        failures = f", {self.failures} of {self.requests} requests failed" if self.failures else ""
        doubts = "".join(f", {doubt}" for doubt in self.doubts)
        return f"{self.key.title}: {self.images_per_s:.1f} images/s{typical}{failures}{doubts}"

    @property
    def doubts(self) -> tuple[str, ...]:
        """Why the figures may not be what the server can do."""
        marks = {"unstable": self.stable is False, "saturated": self.saturated, "generator-bound": self.bound}
        return tuple(mark for mark, holds in marks.items() if holds)

    @property
    def bound(self) -> tuple[str, ...]:
        """Reasons why the figures may be the generator's and not the server's."""
        return self.generator.bound if self.generator else ()

    @property
    def failed(self) -> bool:
        """True if no request was answered."""
        return self.failures == self.requests


def cell_from(content: Mapping[str, Any]) -> Cell:
    """A cell out of its JSON; TypeError or KeyError if it is none."""
    parts: dict[str, Any] = dict(content)
    parts["latency_ms"] = _latency(content["latency_ms"])
    if (generator := content.get("generator")) is not None:
        parts["generator"] = Generator(**{**generator, "bound": tuple(generator.get("bound", ()))})
    for name in ("quantiles_ms", "window_images_per_s", "window_latency_ms"):
        parts[name] = tuple(content.get(name, ()))
    parts["by_size"] = {name: _size_class(each) for name, each in content.get("by_size", {}).items()}
    return Cell(**parts)


def _size_class(content: Mapping[str, Any]) -> SizeClass:
    return SizeClass(**{**content, "latency_ms": _latency(content["latency_ms"])})


def _latency(content: Mapping[str, Any] | None) -> Latency | None:
    return None if content is None else Latency(**content)
