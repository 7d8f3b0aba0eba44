"""Weights become a model that Triton can serve: fetch, convert, export, verify, publish."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from scripts.export import Converted, convert, export
from scripts.fetch import fetch
from scripts.onnx_file import incomplete
from scripts.own import Decided, Own, decide
from scripts.photographs import EXAMPLES, photographs
from scripts.provenance import Origin
from scripts.render import ONNX_FILE
from scripts.repository import check_configs, complete, publish, staging, zoo_labels
from scripts.tensorrt.plans import stale_plans
from scripts.verify import verify
from scripts.versions import model_file, onnx_path
from tritonclas import zoo

STEPS = ("fetch", "convert", "export", "verify", "publish")

Report = Callable[[str], None]


@dataclass(frozen=True)
class Populated:
    """A published model: its file or folder, whose weights it has, and how far from Paddle its answers are.

    `difference` is the largest one of a probability, and `seconds` what each step took; None and nothing for a
    model that was there already. `stale_plans` names the TensorRT plans of other weights that have gone.
    """

    path: Path
    origin: Origin
    difference: float | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    stale_plans: tuple[str, ...] = ()


def populate(
    model: zoo.Model | Own,
    weights: str,
    repository: Path,
    *,
    version: int | None = None,
    force: bool = False,
    pictures: Path = EXAMPLES,
    report: Report = lambda step: None,
) -> Populated:
    """Publish `model` in `repository`, unless it is there with these weights already.

    `weights` is official, sample, synthetic, or the path of a Paddle inference archive, the only one for a model of
    the user's own. They become this `version`, by default the one in service. They are verified with the photographs
    in the folder `pictures`, among others. `report` is told each step as it begins. A ScriptError says what went wrong;
    then the repository is as it was.
    """
    target = onnx_path(model.name, repository, version)
    clock = _Clock(report)
    with staging(model.name, repository) as folder:
        there = None if force or incomplete(target) else Origin.read(model_file(target))
        if there and isinstance(model, zoo.Model) and there.is_current(model, weights):
            return reused(there, target)
        clock.begin("fetch")
        archive = fetch(model, weights, folder)
        clock.begin("convert")
        converted = convert(archive, folder)
        decided = _decided(model, converted)
        check_configs(decided.model, repository)
        origin = Origin.of(archive, decided.model)
        if there == origin:
            complete(decided.model, decided.labels, repository)
            return Populated(target, origin)
        staged = folder / ONNX_FILE
        clock.begin("export")
        export(converted, decided.model, staged)
        clock.begin("verify")
        agreement = verify(archive, staged, decided.model, photographs(decided.model, pictures), folder)
        clock.begin("publish")
        stale = tuple(plan.name for plan in stale_plans(target.parent, staged))
        publish(decided.model, staged, decided.labels, target, synthetic=archive.kind == "synthetic")
    clock.end()
    return Populated(target, origin, agreement.difference, clock.seconds, stale)


@dataclass
class _Clock:
    """Tells of each step, and keeps what it took."""

    report: Report
    seconds: dict[str, float] = field(default_factory=dict)
    _step: str = ""
    _begin_s: float = 0.0

    def begin(self, step: str) -> None:
        self.end()
        self._step, self._begin_s = step, time.perf_counter()
        self.report(step)

    def end(self) -> None:
        if self._step:
            self.seconds[self._step] = time.perf_counter() - self._begin_s


def _decided(model: zoo.Model | Own, converted: Converted) -> Decided:
    """How it is served; random weights of the project's own making say so in every label, whatever they are called."""
    kind = converted.archive.kind
    if not isinstance(model, Own):
        return Decided(model, zoo_labels(model, kind))
    decided = decide(model, converted.archive, converted.signature, converted.rows)
    return replace(decided, labels=zoo_labels(decided.model, kind)) if kind == "synthetic" else decided


def reused(there: Origin, published: Path) -> Populated:
    """A model of the zoo that is there already, with whatever is missing beside its weights put back."""
    complete(there.model, zoo_labels(there.model, there.kind), published.parents[2])
    return Populated(published, there)
