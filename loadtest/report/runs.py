"""Several sweeps side by side: which of their cells may stand beside which published column."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from loadtest.cell import Cell
from loadtest.results import Header, Results
from loadtest.workload import Input
from tritonclas.zoo import MODELS

#: GPU and precision of the published columns, in the document's order.
PUBLISHED = (("V100", "fp32"), ("T4", "fp16"), ("T4", "fp32"))
BATCH_SIZES = (1, 4, 8)

#: Profiles that compute on the GPU, whichever it is, with ONNX Runtime: their precision.
_ANY_GPU = {"gpu": "fp32", "gpu-tensorrt-fp16": "fp16"}

#: The nearest to the published measurement first: the network alone, then with decoding and cropping.
_NEAREST: tuple[Input, ...] = ("pixels", "pixels-shm", "encoded", "encoded-shm")

#: A column of figures: a GPU and a precision as published, or anything else in words.
Place = tuple[str, str]


@dataclass(frozen=True)
class Run:
    """One sweep. `letter` tells it from the others; empty if it is the only one."""

    results: Results
    letter: str = ""

    @property
    def header(self) -> Header:
        """Under which conditions."""
        return self.results.header

    @property
    def device(self) -> str:
        """What computed."""
        return self.header.gpu or self.header.device

    @property
    def place(self) -> Place:
        """The column of the tables in which its figures stand."""
        gpu, precision = gpu_of(self.header), precision_of(self.header.profile)
        if gpu and precision and (gpu, precision) in PUBLISHED and self._computes_on(gpu):
            return gpu, precision
        return self.device, self.header.profile

    @property
    def with_onnx_runtime(self) -> bool:
        """True if ONNX Runtime computes on the GPU, and not a TensorRT plan as under the GPU's own profile."""
        return self.header.profile in _ANY_GPU

    def _computes_on(self, gpu: str) -> bool:
        """The default profile computes on whatever there is: it doesn't say that this was the GPU."""
        return self.with_onnx_runtime or self.header.profile.startswith(f"{gpu.lower()}-")


@dataclass(frozen=True)
class Subject:
    """A model with one kind of input in one run, and its cells in their order; `number` counts the subjects."""

    number: int
    run: Run
    model: str
    input: Input
    cells: tuple[Cell, ...]

    @property
    def title(self) -> str:
        """How headings name it."""
        run = f"run {self.run.letter}" if self.run.letter else ""
        return ", ".join(filter(None, (self.model, self.input, run)))

    @property
    def id(self) -> str:
        """Its name in links."""
        return f"measured-{self.number}"


@dataclass(frozen=True)
class Comparable:
    """The cell that comes nearest to the published measurement of a model and a batch size."""

    run: Run
    cell: Cell

    @property
    def end_to_end(self) -> bool:
        """True if decoding and cropping are in it too."""
        return self.cell.input.startswith("encoded")


def runs_of(every: Sequence[Results]) -> tuple[Run, ...]:
    """The sweeps, with letters if they are several."""
    letters = [chr(ord("A") + at) if at < 26 else str(at) for at in range(len(every))] if len(every) > 1 else [""]
    return tuple(Run(results, letter) for results, letter in zip(every, letters, strict=False))


def gpu_of(header: Header) -> str | None:
    """Which of the published GPUs it was; None if another, or if it isn't known."""
    known = dict.fromkeys(gpu for gpu, _ in PUBLISHED)
    return next((gpu for gpu in known if re.search(rf"\b{gpu}\b", header.gpu or "")), None)


def precision_of(profile: str) -> str | None:
    """In which precision a profile computes; None if it isn't one of ours."""
    if profile in _ANY_GPU:
        return _ANY_GPU[profile]
    if profile == "default":
        return "fp32"
    _, _, last = profile.rpartition("-")
    return last if last in ("fp16", "fp32") else None


def other_places(runs: Iterable[Run]) -> tuple[Place, ...]:
    """The columns that measurements need beside the published ones."""
    return tuple(dict.fromkeys(run.place for run in runs if run.place not in PUBLISHED))


def other_models(runs: Iterable[Run], published: Iterable[str]) -> tuple[str, ...]:
    """Models that were measured and aren't published: the zoo's in its order, then the user's own."""
    measured = dict.fromkeys(cell.model for run in runs for cell in run.results.cells)
    known = [name for name in MODELS if name in measured]
    return tuple(name for name in dict.fromkeys([*known, *measured]) if name not in set(published))


def comparable(runs: Iterable[Run], place: Place, model: str, batch_size: int) -> Comparable | None:
    """What is comparable with the published latency, which is that of one batch after another: one user's cell.

    The network alone goes before end to end, a TensorRT plan before ONNX Runtime, and the later run before the
    earlier.
    """
    found = [
        Comparable(run, cell)
        for run in runs
        if run.place == place
        for cell in run.results.cells
        if (cell.model, cell.batch_size, cell.users) == (model, batch_size, 1)
    ]
    return min(reversed(found), key=_distance, default=None)


def _distance(found: Comparable) -> tuple[bool, int, bool]:
    return found.cell.failed, _NEAREST.index(found.cell.input), found.run.with_onnx_runtime


def subjects(runs: Iterable[Run]) -> tuple[Subject, ...]:
    """Every measured model and input of every run."""
    found: dict[tuple[str, str, Input], tuple[Run, list[Cell]]] = {}
    for run in runs:
        for cell in run.results.cells:
            found.setdefault((run.letter, cell.model, cell.input), (run, []))[1].append(cell)
    return tuple(
        Subject(number, run, model, given, tuple(cells))
        for number, ((_, model, given), (run, cells)) in enumerate(found.items(), 1)
    )
