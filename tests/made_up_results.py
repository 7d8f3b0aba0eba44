"""Results that nobody measured, like those of real sweeps, to try the load test's report with."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace

from loadtest.cell import Cell, Generator, SizeClass
from loadtest.results import Header, Objective, Results
from loadtest.samples import Latency
from loadtest.workload import Input
from tritonclas.published import published_latencies, published_models
from tritonclas.zoo import MODELS

LAPTOP = Header(
    server_version="2.51.0",
    profile="default",
    device="Intel(R) Xeon(R) Platinum 8581C CPU @ 2.10GHz, 2 cores",
    client_version="0.1.0",
    date="2025-01-31T12:00:00+00:00",
    duration_s=10.0,
    warm_up_s=3.0,
    pictures="3 pictures, 43 to 120 kB",
    generator="1 process of Locust on the server's machine",
)
T4_FP16 = replace(
    LAPTOP, server_version="2.50.0", profile="t4-fp16", device="Tesla T4", gpu="Tesla T4", driver="535.183.01"
)
T4_FP32 = replace(T4_FP16, profile="t4-fp32")
V100 = replace(T4_FP16, profile="v100-fp32", device="Tesla V100-SXM2-16GB", gpu="Tesla V100-SXM2-16GB")

BATCHES, USERS = (1, 4, 8), (1, 2, 4)
CLASSES = ("up to 0.3 MP", "0.3 to 2 MP", "above 2 MP")


def cell(
    model: str, batch: int, users: int | None, given: Input, compute_ms: float, *, rate: float | None = None
) -> Cell:
    """A cell whose network takes so long for a batch, and all the rest in proportion."""
    chance = random.Random(f"{model} {batch} {users} {rate} {given}")
    preprocess = 0.6 * batch if given.startswith("encoded") else 0.0
    busy = compute_ms + preprocess
    load = users or 1 + (rate or 0.0) * busy / 1000
    waiting = max(0.0, load - 2) * busy / 2
    steps = {
        "queue": 0.1 + (waiting / 3 if preprocess else 0.0),
        "preprocess": preprocess,
        "network_queue": 0.05 + waiting * (2 / 3 if preprocess else 1),
        "compute_input": 0.03 * batch,
        "compute_infer": compute_ms,
        "compute_output": 0.01 * batch,
    }
    total = sum(steps.values()) + 0.15
    outside = 0.5 + 0.05 * batch
    average = total + outside
    quantiles = sorted(average * chance.lognormvariate(0, 0.09) for _ in range(98))
    quantiles = [*quantiles, quantiles[-1] * 1.3, quantiles[-1] * 1.6, quantiles[-1] * 2.4]
    latency = Latency(average, quantiles[50], quantiles[90], quantiles[95], quantiles[99], quantiles[100])
    requests_per_s = rate if rate is not None else 1000 * load / average
    return Cell(
        model=model,
        batch_size=batch,
        users=users,
        rate_per_s=rate,
        arrivals="poisson" if rate else None,
        input=given,
        synthetic=model in published_models(),
        images_per_s=requests_per_s * batch,
        requests_per_s=requests_per_s,
        latency_ms=latency,
        quantiles_ms=tuple(quantiles),
        requests=int(30 * requests_per_s) + 1,
        failures=0,
        failure_kinds={},
        stable=True,
        windows=4,
        window_images_per_s=tuple(requests_per_s * batch * factor for factor in (0.97, 1.0, 1.01, 0.99)),
        window_latency_ms=tuple(average * factor for factor in (1.02, 1.0, 0.99, 1.01)),
        generator_cpu_percent=12.0 + 8 * load,
        generator=Generator(
            cpu_percent=12.0 + 8 * load, loop_lag_ms=0.3 * load, late_start_ms=0.2 if users is None else None
        ),
        server_ms=steps,
        server_total_ms=total,
        outside_ms=outside,
        batch_sizes={str(batch): 300, str(2 * batch): 40} if load > 2 and batch < 8 else {str(batch): 300},
        by_size=_sizes(latency, requests_per_s * batch) if preprocess else {},
    )


def _sizes(latency: Latency, images_per_s: float) -> dict[str, SizeClass]:
    return {
        name: SizeClass(
            requests=200,
            images_per_s=images_per_s / 3,
            latency_ms=replace(latency, p50=latency.p50 * factor, p99=latency.p99 * factor),
        )
        for name, factor in zip(CLASSES, (0.8, 1.0, 1.9), strict=True)
    }


def cells(
    models: Iterable[str],
    speed: float,
    inputs: tuple[Input, ...] = ("encoded", "pixels"),
    users: tuple[int, ...] = USERS,
) -> tuple[Cell, ...]:
    """Of every model with every batch, load and input; a GFLOP takes so many ms an image."""
    return tuple(
        cell(
            name, batch, count, given, 1.0 + speed * MODELS[name].gflops * batch**0.9 if name in MODELS else 5.0 * batch
        )
        for name in models
        for given in inputs
        for batch in BATCHES
        for count in USERS
    )


def laptop() -> Results:
    """Two models, two inputs, with everything that a report has to remark."""
    found = list(cells(("EfficientNetLite0", "EfficientNetB0"), 5.0))
    found[4] = replace(found[4], stable=False)
    found[8] = replace(
        found[8], failures=7, failure_kinds={"ServerOverloaded": 5, "DeadlineExceeded": 2}, other_requests=41
    )
    found[17] = replace(
        found[17],
        generator=Generator(cpu_percent=97.0, loop_lag_ms=42.0, bound=("it used 97 % of a core", "loop lag 42 ms")),
    )
    rates = [cell("EfficientNetLite0", 1, None, "encoded", 5.0, rate=rate) for rate in (20.0, 80.0, 160.0)]
    rates[-1] = replace(rates[-1], saturated=True, requests_per_s=140.0, images_per_s=140.0)
    objectives = (
        Objective(
            model="EfficientNetLite0",
            batch_size=1,
            input="encoded",
            quantile="p99",
            limit_ms=50.0,
            rate_per_s=80.0,
            broken_per_s=160.0,
        ),
        Objective(
            model="EfficientNetB0",
            batch_size=8,
            input="encoded",
            quantile="p99",
            limit_ms=10.0,
            rate_per_s=None,
            broken_per_s=1.0,
        ),
    )
    hardware = {"cpu_utilization": 0.93}
    return Results(LAPTOP, tuple(replace(each, hardware=hardware) for each in [*found, *rates]), objectives)


def on_gpu(header: Header) -> Results:
    """All published models with pixels, about as fast as published."""
    gpu, precision = header.profile.upper().split("-")[0], header.profile.split("-")[1]
    found = []
    for name in published_models():
        for batch in BATCHES:
            published = published_latencies()[(name, gpu, precision, batch)] or 60.0 * batch
            found += [cell(name, batch, users, "pixels", 0.93 * published) for users in USERS]
    hardware = {"gpu_utilization": 0.87, "gpu_memory_used_bytes": 3.2e9, "gpu_power_usage": 66.4}
    return Results(header, tuple(replace(each, hardware=hardware, synthetic=False) for each in found))


def single() -> Results:
    """One cell."""
    return Results(LAPTOP, (cell("EfficientNetB0", 4, 1, "encoded", 20.0),))
