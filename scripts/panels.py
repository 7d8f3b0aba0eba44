"""What the Grafana dashboard shows: rows of panels, each with its queries and what it is good for.

Queries use what deploy/prometheus/rules records. `$instance` and `$model` are what the dashboard's user chose.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

#: Ensembles are what callers ask; the others are their parts.
_PARTS = 'model=~"preprocess_.*|.*_net"'
_ENSEMBLES = 'model!~"preprocess_.*|.*_net"'
_HERE = 'instance=~"$instance"'
_CHOSEN = f'{_HERE}, model=~"$model"'


@dataclass(frozen=True)
class Panel:
    """One graph. `queries` are PromQL by the legend of what they give; `unit` is Grafana's name of one."""

    title: str
    says: str
    unit: str
    queries: Mapping[str, str] = field(hash=False)
    stacked: bool = False
    width: int = 8  # of 24


@dataclass(frozen=True)
class Row:
    """Panels under a heading; `figures` are shown as numbers, of now."""

    title: str
    panels: tuple[Panel, ...]
    figures: bool = False


def _step(step: str, says: str) -> Panel:
    query = f'instance_model:tritonclas_seconds:mean1m{{{_CHOSEN}, {_PARTS}, step="{step}"}}'
    return Panel(f"Mean time: {step}", says, "s", {"{{model}} {{instance}}": query}, width=6)


_NOW = Row(
    "Now",
    (
        Panel("Servers", "Those that give metrics.", "none", {"up": 'sum(up{job="tritonclas"})'}, width=6),
        Panel(
            "Models not ready",
            "Those that were loaded and aren't any more.",
            "none",
            {
                "not ready": (
                    "count(sum by (instance, model) (nv_inference_request_failure) "
                    "unless sum by (instance, model) (nv_inference_request_success)) or vector(0)"
                )
            },
            width=6,
        ),
        Panel(
            "Requests",
            "Answered, to all models that callers ask.",
            "reqps",
            {"requests": f"sum(instance_model:tritonclas_requests_answered:rate1m{{{_CHOSEN}, {_ENSEMBLES}}})"},
            width=6,
        ),
        Panel(
            "Alerts",
            "Those that fire; docs/monitoring.md says what to do.",
            "none",
            {"firing": 'count(ALERTS{alertname=~"Tritonclas.*", alertstate="firing"}) or vector(0)'},
            width=6,
        ),
    ),
    figures=True,
)

_CALLERS = Row(
    "What callers see",
    (
        Panel(
            "Requests answered",
            "A request may be of several images.",
            "reqps",
            {
                "{{model}} {{instance}}": (
                    f"instance_model:tritonclas_requests_answered:rate1m{{{_CHOSEN}, {_ENSEMBLES}}}"
                )
            },
        ),
        Panel(
            "Mean time of a request",
            "On the server, from arrival to answer, beside the objective. A mean hides its slowest requests.",
            "s",
            {
                "{{model}} {{instance}}": (
                    f'instance_model:tritonclas_seconds:mean1m{{{_CHOSEN}, {_ENSEMBLES}, step="total"}}'
                ),
                "objective {{model}}": "tritonclas:latency_objective_seconds",
            },
        ),
        Panel(
            "Failures by cause",
            "refused: a queue was full. timeout: it waited too long in one. cancelled: the caller gave up. "
            "picture: it can't be read. network: the model's backend failed.",
            "reqps",
            {"{{cause}} {{instance}}": f"instance:tritonclas_failures:rate1m{{{_HERE}}}"},
            stacked=True,
        ),
        Panel(
            "Share of requests that failed",
            "By the server's fault: refused, timeout or network; in the last five minutes and hour.",
            "percentunit",
            {"5 minutes": "job:tritonclas_errors:share5m", "1 hour": "job:tritonclas_errors:share1h"},
        ),
        Panel(
            "Share of time that was slow",
            "Minutes whose mean was above the objective; in the last five minutes and hour.",
            "percentunit",
            {
                "{{model}} 5 minutes": 'job_model:tritonclas_slow:share5m{model=~"$model"}',
                "{{model}} 1 hour": 'job_model:tritonclas_slow:share1h{model=~"$model"}',
            },
        ),
        Panel(
            "Slowest of a hundred, by part",
            "The 99th percentile of the last minute, where the server runs with --metrics-config "
            "summary_latencies=true. Triton gives none of an ensemble with a response cache.",
            "µs",
            {"{{model}} {{instance}}": f'nv_inference_request_summary_us{{{_CHOSEN}, quantile="0.99"}}'},
        ),
    ),
)

_STEPS = Row(
    "Where the time goes, by part",
    (
        _step("queue", "Waiting for an instance. Longer than the computing: the part is at its limit."),
        _step("input", "Gathering a batch and copying it to where it is computed."),
        _step("infer", "Computing. In a batch each request has the whole batch's time."),
        _step("output", "Copying the answer."),
        Panel(
            "Requests that wait",
            "128 places a part; what comes then is refused.",
            "none",
            {"{{model}} {{instance}}": f"nv_inference_pending_request_count{{{_CHOSEN}, {_PARTS}}}"},
        ),
        Panel(
            "Batch size reached",
            "Images that are computed at once, on average.",
            "none",
            {"{{model}} {{instance}}": f"instance_model:tritonclas_images_per_execution:mean1m{{{_CHOSEN}}}"},
        ),
        Panel(
            "Images computed",
            "Answers out of the response cache aren't computed.",
            "short",
            {"{{model}} {{instance}}": f"instance_model:tritonclas_images:rate1m{{{_CHOSEN}, {_PARTS}}}"},
        ),
    ),
)

_MACHINE = Row(
    "The machine, and the response cache",
    (
        Panel("CPU", "All cores.", "percentunit", {"{{instance}}": f"nv_cpu_utilization{{{_HERE}}}"}, width=6),
        Panel(
            "Memory taken",
            "Of the machine, and of the pinned memory through which pictures go to a GPU.",
            "percentunit",
            {
                "machine {{instance}}": f"instance:tritonclas_cpu_memory_used:ratio{{{_HERE}}}",
                "pinned {{instance}}": f"instance:tritonclas_pinned_memory_used:ratio{{{_HERE}}}",
            },
            width=6,
        ),
        Panel(
            "Answered from the cache",
            "Share of requests, where the server has a response cache.",
            "percentunit",
            {"{{model}} {{instance}}": f"instance_model:tritonclas_cache_hits:share5m{{{_CHOSEN}}}"},
            width=6,
        ),
        Panel("Cache taken", "Full is normal.", "percentunit", {"{{instance}}": f"nv_cache_util{{{_HERE}}}"}, width=6),
    ),
)

_GPU = Row(
    "GPUs",
    (
        Panel(
            "Utilisation",
            "Low while requests wait for preprocessing: more CPU cores are needed.",
            "percentunit",
            {"{{instance}} {{gpu_uuid}}": f"nv_gpu_utilization{{{_HERE}}}"},
        ),
        Panel(
            "Memory taken",
            "Of everything on the GPU.",
            "percentunit",
            {"{{instance}} {{gpu_uuid}}": f"instance_gpu:tritonclas_gpu_memory_used:ratio{{{_HERE}}}"},
        ),
        Panel(
            "Power",
            "At the limit of the card, a T4's 70 W, it clocks down.",
            "watt",
            {"{{instance}} {{gpu_uuid}}": f"nv_gpu_power_usage{{{_HERE}}}"},
        ),
    ),
)

ROWS = (_NOW, _CALLERS, _STEPS, _MACHINE, _GPU)


def queries() -> Iterator[tuple[str, str]]:
    """Every query with the title of its panel."""
    for row in ROWS:
        for panel in row.panels:
            for query in panel.queries.values():
                yield f"{row.title}: {panel.title}", query
