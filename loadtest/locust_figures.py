"""A Locust run's figures: percentiles that stay exact to 0.1 % however many processes make the load.

Locust itself keeps response times rounded: to a millisecond below 100 ms, to 10 ms below a second. Here each process
counts them in an HdrHistogram, which takes the same memory however many there are and can be added to others.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from math import ceil, inf
from typing import Any

from hdrh.histogram import HdrHistogram

#: The key in Locust's reports from workers to the master.
KEY = "batches"
_SENT, _EPOCH = "batches_sent_s", "batches_epoch"
#: Message from the master to its workers: begin anew.
_RESET = "batches_reset"

#: What a histogram can hold, in microseconds: up to an hour.
_LONGEST_US = 3_600_000_000
_DIGITS = 3

_PERCENTILES = (50.0, 90.0, 95.0, 99.0)


@dataclass(frozen=True, kw_only=True)
class Figure:
    """Of the requests of one name: model and batch size. Percentiles are of the answered ones, in milliseconds."""

    name: str
    requests: int
    failures: int
    images_per_s: float
    requests_per_s: float
    p50_ms: float | None
    p90_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    max_ms: float | None
    failure_kinds: Mapping[str, int]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass
class Record:
    """What is known of the requests of one name. Times are seconds on this process's `time.perf_counter`."""

    histogram: Any = field(default_factory=lambda: HdrHistogram(1, _LONGEST_US, _DIGITS))
    slowest_ms: float = 0.0
    images: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    begin_s: float = inf
    end_s: float = -inf

    def message(self, now_s: float) -> dict[str, Any]:
        """For another process, perhaps of another machine, whose clock shows another time."""
        return {
            "histogram": self.histogram.encode(),
            "slowest_ms": self.slowest_ms,
            "images": self.images,
            "failures": dict(self.failures),
            "since_begin_s": now_s - self.begin_s,
            "since_end_s": now_s - self.end_s,
        }

    def add(self, message: Mapping[str, Any], now_s: float) -> None:
        """Add what another process knows."""
        self.histogram.decode_and_add(message["histogram"])
        self.slowest_ms = max(self.slowest_ms, message["slowest_ms"])
        self.images += message["images"]
        self.failures.update(message["failures"])
        self.begin_s = min(self.begin_s, now_s - message["since_begin_s"])
        self.end_s = max(self.end_s, now_s - message["since_end_s"])

    def figure(self, name: str, floor_s: float) -> Figure:
        """From the first request's begin (after `floor_s`) to the last one's end."""
        answered = self.histogram.get_total_count()
        failures = self.failures.total()
        elapsed_s = self.end_s - max(self.begin_s, floor_s)
        p50, p90, p95, p99 = self._percentiles_ms(answered)
        return Figure(
            name=name,
            requests=answered + failures,
            failures=failures,
            images_per_s=self.images / elapsed_s if elapsed_s > 0 else 0.0,
            requests_per_s=answered / elapsed_s if elapsed_s > 0 else 0.0,
            p50_ms=p50,
            p90_ms=p90,
            p95_ms=p95,
            p99_ms=p99,
            max_ms=self.slowest_ms if answered else None,
            failure_kinds=dict(sorted(self.failures.items())),
        )

    def _percentiles_ms(self, answered: int) -> tuple[float | None, ...]:
        """By nearest rank. HdrHistogram rounds the rank, so that it is asked for percentages that make whole ones."""
        if not answered:
            return (None,) * len(_PERCENTILES)
        asked = [100 * ceil(each * answered / 100) / answered for each in _PERCENTILES]
        found = self.histogram.get_percentile_to_value_dict(asked)
        return tuple(min(found[each] / 1000, self.slowest_ms) for each in asked)


class Figures:
    """The figures of a run in this process; in Locust's master, those that its workers report."""

    def __init__(self) -> None:
        self._records: defaultdict[str, Record] = defaultdict(Record)
        self._floor_s = -inf
        self._ahead_s: dict[str, float] = {}
        self._epoch = 0
        self._tell_workers: Callable[[], None] = lambda: None

    def attach(self, environment: Any) -> None:
        """Count what Locust's users do, and begin anew whenever Locust's own statistics do; the master says when."""
        events, options = environment.events, environment.parsed_options
        events.request.add_listener(self.count)
        if options.worker:
            events.report_to_master.add_listener(self._report)
            events.test_start.add_listener(lambda **_: self._begin_epoch(getattr(options, _EPOCH, 0)))
            environment.runner.register_message(_RESET, lambda msg, **_: self._begin_epoch(msg.data["epoch"]))
            return
        if options.master:
            events.worker_report.add_listener(self._take)
            self._tell_workers = lambda: self._tell(environment)
        events.test_start.add_listener(lambda **_: self.reset())
        events.reset_stats.add_listener(lambda **_: self.reset())
        if environment.reset_stats:
            events.spawning_complete.add_listener(lambda **_: self.reset())

    def count(self, *, name: str, context: Mapping[str, Any], **_: Any) -> None:
        """A request has ended."""
        sample = context["sample"]
        record = self._records[name]
        record.begin_s = min(record.begin_s, sample.begin_s)
        record.end_s = max(record.end_s, sample.end_s)
        if sample.error is not None:
            record.failures[sample.error] += 1
            return
        record.images += context["images"]
        record.slowest_ms = max(record.slowest_ms, sample.latency_ms)
        record.histogram.record_value(min(max(round(1000 * sample.latency_ms), 1), _LONGEST_US))

    def reset(self) -> None:
        """Begin anew; requests under way count from now on, and what workers had counted before doesn't."""
        self._begin_epoch(self._epoch + 1)
        self._tell_workers()

    def _tell(self, environment: Any) -> None:
        """Workers that run are told at once, others with the options when they start users."""
        setattr(environment.parsed_options, _EPOCH, self._epoch)
        environment.runner.send_message(_RESET, {"epoch": self._epoch})

    def _begin_epoch(self, number: int) -> None:
        self._epoch = number
        self._records.clear()
        self._floor_s = time.perf_counter()

    def all(self) -> list[Figure]:
        """A figure a name, in alphabetical order."""
        return [record.figure(name, self._floor_s) for name, record in sorted(self._records.items())]

    def _report(self, data: dict[str, Any], **_: Any) -> None:
        now_s = data[_SENT] = time.perf_counter()
        data[_EPOCH] = self._epoch
        data[KEY] = {name: record.message(now_s) for name, record in self._records.items()}
        self._records.clear()

    def _take(self, client_id: str, data: Mapping[str, Any], **_: Any) -> None:
        """The report that came soonest tells how far this clock is ahead of the worker's; others came late."""
        if KEY not in data:
            return
        ahead_s = min(self._ahead_s.get(client_id, inf), time.perf_counter() - data[_SENT])
        self._ahead_s[client_id] = ahead_s
        if data[_EPOCH] != self._epoch:
            return
        for name, message in data[KEY].items():
            self._records[name].add(message, data[_SENT] + ahead_s)
