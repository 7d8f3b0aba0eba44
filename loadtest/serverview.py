"""What the server itself tells of a load: Triton's statistics between two points in time."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from loadtest.cell import SERVER_STEPS
from tritonclas import ModelServer, ModelStatistics, TritonClasError

Ensembles = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Snapshot:
    """The models' counters, by name, at a point in time in seconds on `time.perf_counter`."""

    at_s: float
    counters: Mapping[str, ModelStatistics] = field(default_factory=dict)


@dataclass(frozen=True)
class Parts:
    """The models through which a request goes: the one that is asked, and what it consists of.

    A network that is asked alone has no preprocessing.
    """

    asked: str
    network: str
    preprocessing: str | None = None


@dataclass(frozen=True)
class Seen:
    """Averages of a request in milliseconds, by SERVER_STEPS and in all, and how many requests to all models.

    `batch_sizes` counts the network's executions by how many images they computed at once.
    """

    steps_ms: Mapping[str, float]
    total_ms: float
    requests: int
    batch_sizes: Mapping[int, int]


class ServerView:
    """Asks a server for its statistics. `ensembles` are the models of which its ensembles consist, by their names."""

    def __init__(self, server: ModelServer) -> None:
        self._server = server
        self.ensembles: Ensembles = {}
        with suppress(TritonClasError):
            self.ensembles = {status.name: steps_of(server, status.name) for status in server.models() if status.ready}

    def snapshot(self) -> Snapshot:
        """The counters of now; none of them if the server doesn't tell."""
        counters: dict[str, ModelStatistics] = {}
        with suppress(TritonClasError):  # restricted, busy, or no Triton
            counters = {each.name: each for each in self._server.statistics()}
        return Snapshot(time.perf_counter(), counters)

    def lives(self) -> bool:
        """Whether the server answers at all."""
        try:
            return self._server.live()
        except TritonClasError:
            return True  # an answer, too


def steps_of(server: ModelServer, model: str) -> list[str]:
    """The models of which an ensemble consists, in their order; none if the model is no ensemble."""
    return [step["model_name"] for step in server.config(model).get("ensemble_scheduling", {}).get("step", ())]


def seen(begin: Snapshot, end: Snapshot, parts: Parts, ensembles: Ensembles) -> Seen | None:
    """What the server did in between; None if it doesn't tell, or was started anew, or did nothing."""
    names = [name for name in (parts.asked, parts.network, parts.preprocessing) if name]
    if any(name not in each.counters for name in names for each in (begin, end)):
        return None
    asked = _Delta(begin.counters[parts.asked], end.counters[parts.asked])
    network = _Delta(begin.counters[parts.network], end.counters[parts.network])
    if asked.requests <= 0 or network.requests <= 0:
        return None
    steps = dict.fromkeys(SERVER_STEPS, 0.0)
    if parts.preprocessing:
        before = _Delta(begin.counters[parts.preprocessing], end.counters[parts.preprocessing])
        steps["queue"] = before.average_ms("queue_s")
        steps["preprocess"] = sum(before.average_ms(name) for name in _COMPUTE)
    steps["network_queue"] = network.average_ms("queue_s")
    steps.update({name.removesuffix("_s"): network.average_ms(name) for name in _COMPUTE})
    return Seen(steps, asked.average_ms("success_s"), _requests(begin, end, ensembles), network.batch_sizes)


def _requests(begin: Snapshot, end: Snapshot, ensembles: Ensembles) -> int:
    """Requests from outside: those to a model but for those that ensembles passed on, which may have failed later."""
    deltas = {
        name: _Delta(begin.counters[name], after) for name, after in end.counters.items() if name in begin.counters
    }
    inside: Counter[str] = Counter()
    for ensemble, steps in ensembles.items():
        for step in steps:
            inside[step] += deltas[ensemble].with_failures if ensemble in deltas else 0
    return sum(max(0, delta.requests - inside[name]) for name, delta in deltas.items())


_COMPUTE = ("compute_input_s", "compute_infer_s", "compute_output_s")


@dataclass(frozen=True)
class _Delta:
    begin: ModelStatistics
    end: ModelStatistics

    @property
    def requests(self) -> int:
        return self.end.successes - self.begin.successes

    @property
    def with_failures(self) -> int:
        """Of an ensemble, whose failed requests Triton counts twice (docs/monitoring.md)."""
        return max(0, self.requests + (self.end.failures - self.begin.failures) // 2)

    @property
    def batch_sizes(self) -> dict[int, int]:
        grown = {size: count - self.begin.batch_sizes.get(size, 0) for size, count in self.end.batch_sizes.items()}
        return {size: count for size, count in sorted(grown.items()) if count > 0}

    def average_ms(self, name: str) -> float:
        """A time of an average request."""
        spent_s: float = getattr(self.end, name) - getattr(self.begin, name)
        return 1000 * spent_s / self.requests if self.requests > 0 else 0.0
