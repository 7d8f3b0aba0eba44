"""What the report says, section by section, before it is Markdown or HTML."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from loadtest.report import cell_tables, published_tables, subject_tables
from loadtest.report.conditions import conditions
from loadtest.report.grid import Grid
from loadtest.report.remarks import Remark, remarks
from loadtest.report.runs import PUBLISHED, Run, Subject, precision_of, subjects

FIGURES = "figures"

_COMPARED = (
    "PaddleClas published the latency of the network alone on that GPU, in ms a batch. The measured figure beside it "
    "is the average of one user's requests, who sends a batch when the last one is answered: with input pixels, where "
    "crops go straight to the network, else with encoded pictures, which is marked. It counts from the client's call "
    "to its answer, so gRPC and the network are in it.",
    "A measured figure stands in a GPU's column only if it was measured on that GPU, under that column's profile, or "
    "in that precision under the profiles gpu and gpu-tensorrt-fp16, which is marked. Whatever was measured elsewhere "
    "has columns of its own. A dash is where nothing was published. Figures are rounded to 0.01 ms.",
)
_FIGURES = (
    "Top-1 is always the published one, on ImageNet's validation set; nothing here measured it. Models without a "
    "published top-1 aren't in these figures.",
)
_SIZES = (
    "GFLOPs are twice the multiply-accumulates of one image at the model's crop. The published sizes are too small: "
    "they divide grouped convolutions by their groups twice. Counted are the networks as served, and the figures "
    "show these, with the published ones beside them.",
)
_MEASURED = (
    "Latency is what the client saw, from its call to the answer. On the server: waiting for preprocessing, decoding "
    'and cropping, waiting for the network, copying its input, computing, copying its output; "rest" is what lies '
    'between these steps, "outside" what the server doesn\'t see: the network, gRPC and the client.',
)
_OBJECTIVES = (
    "Found by trying rates in an open loop. Held means that the latency's quantile was at most the limit and no "
    "request failed.",
)
_READING = (
    "Throughput counts answered requests only. Percentiles are by nearest rank: each is the latency of a request that "
    "was made.",
    "In a closed loop (users) a request is sent when the last one is answered, so a slow server is asked less; in an "
    "open loop (requests/s) requests are due at their times, and latency counts from then.",
    "The published latencies are PaddleClas's; none of them was measured here. The V100 column of "
    "Fix_ResNeXt101_32x48d_wsl (crop 320) is within 2 % of that of ResNeXt101_32x48d_wsl (crop 224): it was evidently "
    "measured at 224.",
)


@dataclass(frozen=True)
class Section:
    """A heading and what is below it. `level` is 2 or 3, as in HTML; figures are looked up by `id`."""

    id: str
    title: str
    level: int = 2
    text: tuple[str, ...] = ()
    grids: tuple[Grid, ...] = ()
    remarks: tuple[Remark, ...] = ()


@dataclass(frozen=True)
class Document:
    """The whole report."""

    title: str
    lead: str
    runs: tuple[Run, ...]
    sections: tuple[Section, ...]
    subjects: tuple[Subject, ...]


def document(runs: Sequence[Run]) -> Document:
    """What there is to be said of these sweeps."""
    found = subjects(runs)
    return Document("Load test", lead(runs), tuple(runs), tuple(_sections(runs, found)), found)


def lead(runs: Sequence[Run]) -> str:
    """The report in two sentences: what was measured, and on what."""
    cells = [cell for run in runs for cell in run.results.cells]
    models = list(dict.fromkeys(cell.model for cell in cells))
    if not cells:
        return "Nothing is measured yet."
    named = ", ".join(models) if len(models) <= 4 else f"{len(models)} models"
    places = list(dict.fromkeys(published_tables.measured_on((run.device, run.header.profile)) for run in runs))
    missing = [f"{gpu} {precision.upper()}" for gpu, precision in unmeasured(runs)]
    rest = f" Not measured: {', '.join(missing)}." if missing else ""
    plural = "s" * (len(cells) != 1)
    return f"{named}: {len(cells)} cell{plural}, {'; '.join(places)}.{rest}"


def unmeasured(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """The published GPUs and precisions for which there is no measurement at all."""
    return [place for place in PUBLISHED if not any(run.place == place and run.results.cells for run in runs)]


def _sections(runs: Sequence[Run], found: Sequence[Subject]) -> Iterator[Section]:
    yield Section("conditions", "Conditions", grids=(conditions(runs),))
    if found:
        yield Section("best-of-each", "At a glance", grids=(cell_tables.glance(runs),))
    yield Section("published", "Published and measured", text=_COMPARED, grids=published_tables.latencies(runs))
    yield Section(FIGURES, "Accuracy against cost", text=_FIGURES + _unplaced(runs))
    yield Section("sizes", "Accuracy and size", text=_SIZES, grids=(published_tables.models(runs),))
    if any(run.results.objectives for run in runs):
        yield Section("objective", "Objectives", text=_OBJECTIVES, grids=(cell_tables.objectives(runs),))
    if found:
        yield Section("measured", "Measured, model by model", text=_MEASURED)
        for each in found:
            yield Section(each.id, each.title, level=3, grids=subject_tables.tables(each))
        yield Section("all", "All cells", grids=(cell_tables.cells(runs),), remarks=remarks(runs))
    yield Section("reading", "How to read this", text=_READING)


def _unplaced(runs: Sequence[Run]) -> tuple[str, ...]:
    profiles = dict.fromkeys(run.header.profile for run in runs if precision_of(run.header.profile) is None)
    return tuple(f"In which precision profile {each} computes isn't known, so it isn't in them." for each in profiles)
