"""From a measurement to a cell's figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from loadtest.cell import Cell, Generator, SizeClass
from loadtest.measure import Measurement, is_saturated, is_stable, per_window
from loadtest.samples import NOT_SENT, Latency, Sample, Window, answered, failure_kinds, latency, percentiles
from loadtest.serverview import Ensembles, Parts, Seen, seen

#: A generator that is busier than this, in per cent of a core, may have been the limit itself.
_BUSY_PERCENT = 80.0
#: Its delays may matter if they are more than this share of the latency, ...
_SHARE = 0.10
#: ... its event loop's worst ones (the 99th percentile of both) if they are more than this share, ...
_SHARE_OF_WORST = 0.50
#: ... and if they are more than so many milliseconds.
_DELAY_MS = 1.0


@dataclass(frozen=True)
class Subject:
    """What was measured: whether its weights are random, the models it consists of, the names of size classes.

    `ensembles` are all of the server's.
    """

    synthetic: bool
    parts: Parts
    ensembles: Ensembles = field(default_factory=dict)
    size_classes: Sequence[str] = ()
    hardware: Mapping[str, float] | None = None


def cell_of(measurement: Measurement, subject: Subject) -> Cell:
    """The figures of the last three windows."""
    workload, load, whole = measurement.workload, measurement.load, measurement.whole
    images_per_s, averages = per_window(measurement)
    kinds = failure_kinds(whole.samples)
    found = latency(whole.samples)
    server = seen(*measurement.counted, subject.parts, subject.ensembles)
    generator = _generator(measurement, found)
    return Cell(
        model=workload.model,
        batch_size=workload.batch_size,
        users=load.users,
        rate_per_s=load.rate_per_s,
        arrivals=None if load.rate_per_s is None else load.arrivals,
        input=workload.input,
        synthetic=subject.synthetic,
        images_per_s=whole.requests_per_s * workload.batch_size,
        requests_per_s=whole.requests_per_s,
        latency_ms=found,
        quantiles_ms=percentiles([each.latency_ms for each in answered(whole.samples)], range(101)),
        requests=len(whole.samples),
        failures=sum(kinds.values()),
        failure_kinds=kinds,
        stable=is_stable(measurement),
        saturated=is_saturated(measurement),
        windows=len(images_per_s),
        window_images_per_s=tuple(images_per_s),
        window_latency_ms=tuple(each or 0.0 for each in averages),
        generator_cpu_percent=generator.cpu_percent,
        generator=generator,
        server_ms=server.steps_ms if server else None,
        server_total_ms=server.total_ms if server else None,
        outside_ms=_outside_ms(measurement, server),
        batch_sizes={str(size): count for size, count in server.batch_sizes.items()} if server else {},
        other_requests=_others(server.requests, whole.ended) if server else 0,
        hardware=subject.hardware,
        by_size=_by_size(whole, workload.batch_size, subject.size_classes),
    )


def _outside_ms(measurement: Measurement, server: Seen | None) -> float | None:
    """What the server doesn't count of the requests that ended, which are those that it counts.

    None if they piled up: those that were due then ended later, and wait where neither side's averages see it.
    """
    ended = latency(measurement.whole.ended)
    if server is None or ended is None or is_saturated(measurement):
        return None
    return ended.avg - server.total_ms


def _by_size(whole: Window, batch_size: int, names: Sequence[str]) -> dict[str, SizeClass]:
    found = {}
    images_per_s = whole.requests_per_s * batch_size
    all_answered = len(answered(whole.samples))
    for index, name in enumerate(names):
        of_size = [sample for sample in whole.samples if sample.size == index]
        if of_size:
            share = len(answered(of_size)) / max(1, all_answered)
            found[name] = SizeClass(
                requests=len(of_size), images_per_s=images_per_s * share, latency_ms=latency(of_size)
            )
    return found


def _others(counted: int, ended: Sequence[Sample]) -> int:
    """Requests that weren't ours; a few may have been counted on the other side of a boundary.

    Ours are also those that failed: the server may answer a request that nobody waits for any more.
    """
    others = counted - sum(sample.error != NOT_SENT for sample in ended)
    return others if others > max(10, 0.05 * counted) else 0


def _generator(measurement: Measurement, found: Latency | None) -> Generator:
    begin_s, end_s = (each.at_s for each in measurement.counted)
    lags_ms = [1000 * lag_s for told in measurement.told for at_s, lag_s in told.lags_s if begin_s < at_s <= end_s]
    lag_ms = percentiles(lags_ms, (99,))[0] if lags_ms else None
    average_ms = sum(lags_ms) / len(lags_ms) if lags_ms else None
    late_ms = None
    if measurement.load.users is None and measurement.whole.samples:
        (late_ms,) = percentiles([1000 * sample.late_s for sample in measurement.whole.samples], (99,))
    cpu_percent = max(told.cpu_percent(begin_s, end_s) for told in measurement.told)
    reasons = sorted({warning for told in measurement.told for warning in told.warnings})
    if cpu_percent > _BUSY_PERCENT:
        reasons.append(f"it used {cpu_percent:.0f} % of a core")
    if found and (idle := _between(measurement, found)) > _SHARE:
        reasons.append(f"its users were between two requests for {100 * idle:.0f} % of the time")
    if found and _matters(late_ms, _SHARE * found.p99):
        reasons.append(f"1 % of the requests were sent more than {late_ms:.1f} ms late")
    if found and _matters(average_ms, _SHARE * found.avg):
        reasons.append(f"its event loop was {average_ms:.1f} ms late on average")
    if found and _matters(lag_ms, _SHARE_OF_WORST * found.p99):
        reasons.append(f"its event loop was more than {lag_ms:.1f} ms late for 1 % of the time")
    return Generator(
        cpu_percent=cpu_percent,
        loop_lag_ms=lag_ms,
        average_lag_ms=average_ms,
        late_start_ms=late_ms,
        bound=tuple(reasons),
    )


def _matters(delay_ms: float | None, limit_ms: float) -> bool:
    return delay_ms is not None and delay_ms > max(_DELAY_MS, limit_ms)


def _between(measurement: Measurement, found: Latency) -> float:
    """The share of their time that users of a closed loop had no request under way, by Little's law."""
    users = measurement.load.users
    whole = measurement.whole
    if users is None or len(answered(whole.samples)) < len(whole.samples):
        return 0.0
    return 1 - whole.requests_per_s * found.avg / 1000 / users
