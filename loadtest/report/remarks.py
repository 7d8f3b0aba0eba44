"""What a reader must know of single cells: short marks beside the figures, and what they mean."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from loadtest.cell import Cell
from loadtest.report.runs import Run
from loadtest.samples import IN_FLIGHT_LIMIT, NOT_SENT

#: Signs in the tables of published figures, and what they mean.
SYNTHETIC, END_TO_END, ONNX_RUNTIME, UNSTABLE, DISTURBED = "*", "†", "‡", "~", "!"
SIGNS = {
    SYNTHETIC: "Synthetic (random) weights: the speed is real, the answers mean nothing.",
    END_TO_END: (
        "End to end: encoded pictures were sent, so that decoding and cropping are in it, and not the network alone."
    ),
    ONNX_RUNTIME: "Computed by ONNX Runtime, and not by a TensorRT plan built for this GPU.",
    UNSTABLE: "Unstable: the last three windows differ by more than 10 %.",
    DISTURBED: (
        "Generator-bound, with failed requests, or beside somebody else's: the cell's marks under All cells say which."
    ),
}

#: A generator that is busier than this, in per cent of a core, may have been the limit itself; for results
#: that don't say more of it.
_BUSY_PERCENT = 80.0

_MEANINGS = {
    "all failed": "No request was answered: there is no latency, and no throughput.",
    "failures": "Failed requests are counted by the SDK's error; throughput and latency are of answered requests only.",
    "unstable": (
        "The last three windows differ by more than 10 % in throughput or latency: the figure may be another next time."
    ),
    "saturated": (
        "The server couldn't keep up with the rate, and the queue grew as long as the load lasted: latency says how "
        "long that was, not how fast the server is."
    ),
    "generator-bound": (
        "What made the load was itself at its limit: the server may be faster than the figures say. Give the "
        "generator more processes, or a machine of its own."
    ),
    "other requests": "Somebody else's requests were on the server in the same time, and took a part of it.",
    "synthetic": SIGNS[SYNTHETIC],
}


@dataclass(frozen=True)
class Remark:
    """A mark, what it means, and the cells that have it with what is to be said of each."""

    mark: str
    meaning: str
    cells: tuple[str, ...]


def bound(cell: Cell) -> tuple[str, ...]:
    """Reasons why the figures may be the generator's."""
    if cell.generator is None and cell.generator_cpu_percent > _BUSY_PERCENT:
        return (f"it used {cell.generator_cpu_percent:.0f} % of a core",)
    return cell.bound


def _details(cell: Cell) -> dict[str, str]:
    """The cell's marks, and what is to be said of each."""
    failures = failures_of(cell)
    marks = {
        "all failed": (cell.failed, failures),
        "failures": (cell.failures > 0 and not cell.failed, failures),
        "unstable": (cell.stable is False, _windows(cell)),
        "saturated": (cell.saturated, _saturated(cell)),
        "generator-bound": (bool(bound(cell)), "; ".join(bound(cell))),
        "other requests": (cell.other_requests > 0, f"{cell.other_requests:,} beside {cell.requests:,}"),
        "synthetic": (cell.synthetic, ""),
    }
    return {mark: detail for mark, (holds, detail) in marks.items() if holds}


def marks(cell: Cell) -> tuple[str, ...]:
    """The cell's marks."""
    return tuple(_details(cell))


def remarks(runs: Iterable[Run]) -> tuple[Remark, ...]:
    """Every mark that a cell has, with the cells."""
    found: dict[str, list[str]] = {mark: [] for mark in _MEANINGS}
    for run in runs:
        for cell in run.results.cells:
            for mark, detail in _details(cell).items():
                found[mark].append(_said(run, cell, mark, detail))
    return tuple(Remark(mark, _MEANINGS[mark], tuple(dict.fromkeys(cells))) for mark, cells in found.items() if cells)


def _said(run: Run, cell: Cell, mark: str, detail: str) -> str:
    where = f"run {run.letter}, " if run.letter else ""
    return f"{where}{cell.model}" if mark == "synthetic" else f"{where}{cell.key.title}: {detail}"


def failures_of(cell: Cell) -> str:
    """How many requests failed, and of what."""
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in cell.failure_kinds.items())
    return f"{cell.failures:,} of {cell.requests:,} requests failed" + (f" ({kinds})" if kinds else "")


def _saturated(cell: Cell) -> str:
    unsent = cell.failure_kinds.get(NOT_SENT, 0)
    why = f", {unsent:,} weren't sent, as {IN_FLIGHT_LIMIT} a process were under way" if unsent else ""
    return f"answered {cell.requests_per_s:.1f} requests/s{why}"


def _windows(cell: Cell) -> str:
    last = cell.window_images_per_s[-3:]
    return f"{', '.join(f'{each:.1f}' for each in last)} images/s" if last else "windows not kept"
