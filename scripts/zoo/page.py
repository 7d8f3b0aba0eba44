"""The survey as a Markdown page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from scripts.zoo.record import Record, Survey
from scripts.zoo.row import BATCH_SIZES
from tritonclas.published import published_latencies
from tritonclas.zoo import MODELS, Model

#: GPU and precision of the published columns.
_PUBLISHED = (("V100", "fp32"), ("T4", "fp16"), ("T4", "fp32"))
_GIB = 2**30
NOT_MEASURED = "*not measured*"

_INTRODUCTION = """\
# The zoo, measured

Every row the whole way, one after another: weights, export, verification against Paddle, a real Triton, the SDK's
answers compared with Paddle's own, a load test. `make zoo` made this page and `zoo.json` beside it; run it to see what
your machine does.

- machine: {processor}, {cores} cores, {memory:.0f} GiB, CPU only; {system}
- versions: {versions}
- date: {date}
- weights: {weights}
"""

_WEIGHTS = (
    "**synthetic** (seeded random numbers) for all rows of the published table: right in size and speed, meaningless "
    "in what they answer; real ImageNet weights for {samples}"
)

_SIZES = """\
## Sizes

GFLOPs are 2 x multiply-accumulates of one image at the model's crop.
"""

_WHY = """\
The published table is too low. It divides every grouped convolution by its groups twice: once rightly, since a group's
filters see its own channels only, and once more. Counted in that way our networks give 29.13 GFLOPs and 78.45 M
parameters for ResNeXt101_32x8d_wsl, where the table has 29.14 and 78.44. The other ResNeXts' figures come out to 0.1 %,
and the GFLOPs of the EfficientNets, whose depthwise convolutions have a group a channel, to 3 %
(`tests/unit/test_networks.py` counts both ways). It matters most where groups are wide: the true cost of
ResNeXt101_32x48d_wsl is 1.8 times the published one. The parameters are the trainable ones, counted exactly.
"""

_EXPORT = """\
## Export

Memory is the most that a command and all that it starts held at one time. *Weights* makes the synthetic archive, a step
that official and own weights don't need; *populate* is the rest: convert, export, verify, publish. The difference is
the largest one of any probability from Paddle's own, of the ONNX file over noise, gradients and photographs at batch
sizes 1, 3 and the largest, and of what the SDK got from Triton, one by one and in batches of 8, with the preprocessing
on the server and in the client.
"""

_SERVING = """\
## Serving

On this CPU, through the ensemble: encoded pictures in, probabilities out, one Locust user who sends the next request
when the last one is answered, two instances of everything. Milliseconds are the mean of a request. The published
columns are PaddleClas's, of the network alone on that GPU, here for comparison; none of them was measured by us. The
V100 column of Fix_ResNeXt101_32x48d_wsl (crop 320) is within 2 % of that of ResNeXt101_32x48d_wsl (crop 224): it was
evidently measured at 224.
"""


def markdown(survey: Survey) -> str:
    """The page, with a line for every row of the zoo, measured or not."""
    records = {record.model: record for record in survey.records}
    parts = [
        _introduction(survey),
        _SIZES,
        table(("model", "crop", "parameters", "published (M)", "GFLOPs", "published"), map(_sizes, MODELS.values())),
        _WHY,
        _EXPORT,
        table(_EXPORT_COLUMNS, ([name, *_exported(records.get(name))] for name in MODELS)),
        _SERVING,
        table(_serving_columns(), ([name, *_served(records.get(name)), *_published(name)] for name in MODELS)),
    ]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table whose columns but the first are aligned to the right."""
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _introduction(survey: Survey) -> str:
    machine = survey.machine
    dates = [record.date for record in survey.records]
    samples = [name for name, row in MODELS.items() if row.sample]
    return _INTRODUCTION.format(
        processor=machine.processor,
        cores=machine.cores,
        memory=machine.memory / _GIB,
        system=machine.system,
        versions=", ".join(f"{name} {version}" for name, version in machine.versions.items()),
        date=" to ".join(sorted({min(dates), max(dates)})) if dates else NOT_MEASURED,
        weights=_WEIGHTS.format(samples=" and ".join([", ".join(samples[:-1]), samples[-1]])),
    )


def _sizes(model: Model) -> Sequence[str]:
    published = model.published
    return (
        model.name,
        str(model.crop),
        f"{model.parameters:,}",
        f"{published.parameters_m:.2f}" if published else "-",
        f"{model.gflops:.2f}",
        f"{published.gflops:.2f}" if published else "-",
    )


_EXPORT_COLUMNS = (
    *("model", "weights", "ONNX MB", "weights s", "GiB", "export s", "verify s", "populate GiB"),
    *("ONNX difference", "served difference"),
)


def _exported(record: Record | None) -> Sequence[str]:
    if record is None:
        return [NOT_MEASURED] * (len(_EXPORT_COLUMNS) - 1)
    return (
        record.weights,
        f"{record.onnx / 1e6:,.1f}",
        f"{record.fetch_s:.1f}",
        f"{record.fetch_peak / _GIB:.1f}",
        f"{record.export_s:.1f}",
        f"{record.verify_s:.1f}",
        f"{record.populate_peak / _GIB:.1f}",
        f"{record.difference:.1e}",
        f"{record.served_difference:.1e}",
    )


def _serving_columns() -> Sequence[str]:
    published = [f"{gpu} {precision.upper()}, batch {size}" for gpu, precision in _PUBLISHED for size in BATCH_SIZES]
    return "model", "load s", "server GiB", *(f"CPU, batch {size}" for size in BATCH_SIZES), *published


def _served(record: Record | None) -> Sequence[str]:
    if record is None:
        return [NOT_MEASURED] * (2 + len(BATCH_SIZES))
    return (
        f"{record.load_s:.1f}",
        f"{record.server_memory / _GIB:.2f}",
        *(f"{record.latency[size].avg_ms:,.1f}" for size in BATCH_SIZES),
    )


def _published(name: str) -> Iterable[str]:
    found = (published_latencies().get((name, *column, size)) for column in _PUBLISHED for size in BATCH_SIZES)
    return ("-" if value is None else f"{value:,.2f}" for value in found)
