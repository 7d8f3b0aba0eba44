"""Weights become a model that Triton can serve: fetch, export, verify, publish."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from scripts.arguments import zoo_models
from scripts.console import progress_console
from scripts.errors import ScriptError
from scripts.export import export
from scripts.fetch import default_weights, fetch
from scripts.onnx_file import model_file, size_on_disk
from scripts.processes import termination_as_interrupt
from scripts.provenance import Origin
from scripts.render import ONNX_FILE, REPOSITORY
from scripts.repository import onnx_path, prepare, publish, staging, write_labels
from scripts.verify import verify
from tritonclas import zoo
from tritonclas.cli import example
from tritonclas.preprocess import Pixels, Preprocessing

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
STEPS = ("fetch", "export", "verify", "publish")

Report = Callable[[str], None]


@dataclass(frozen=True)
class Populated:
    """A published model: its file, where its weights come from, and how far from Paddle its answers are.

    `difference` is the largest one of a probability; None for a model that was there already.
    """

    path: Path
    origin: Origin
    difference: float | None


def populate(
    model: zoo.Model, weights: str, repository: Path, *, force: bool = False, report: Report = lambda step: None
) -> Populated:
    """Publish `model` in `repository`, unless it is there with these weights already.

    `weights` is official, sample, synthetic, or the path of a Paddle inference archive. `report` is told
    each step as it begins. A ScriptError says what went wrong; then the repository is as it was.
    """
    target = onnx_path(model, repository)
    with staging(model, repository) as folder:
        there = None if force else Origin.read(model_file(target))
        if there and there.is_current(model, weights):
            return reused(model, there, repository)
        report("fetch")
        archive = fetch(model, weights, folder)
        if there and there == Origin.of(archive, model):
            return reused(model, there, repository)
        report("export")
        export(archive, model, folder / ONNX_FILE)
        report("verify")
        agreement = verify(archive, folder / ONNX_FILE, model, example_pictures(model))
        report("publish")
        publish(model, folder / ONNX_FILE, archive.kind, repository)
    return Populated(target, Origin.of(archive, model), agreement.difference)


def reused(model: zoo.Model, there: Origin, repository: Path) -> Populated:
    """A model that is there already, with whatever is missing beside its weights put back."""
    prepare(model, repository)
    write_labels(model, there.kind, repository)
    return Populated(onnx_path(model, repository), there, None)


def example_pictures(model: zoo.Model) -> list[Pixels]:
    """The repository's example photographs as the model's crops."""
    preprocess = Preprocessing(model.resize_short, model.crop, model.interpolation)
    return [preprocess(path.read_bytes()) for path in sorted(EXAMPLES.glob("*.jpg"))]


def describe(model: zoo.Model, done: Populated) -> str:
    """One line on what was done."""
    size = f"{size_on_disk(done.path) / 1e6:.1f} MB, {done.origin.kind} weights"
    if done.difference is None:
        return f"{model.name}: already there ({size})"
    return f"{model.name}: published ({size}; differs from Paddle by at most {done.difference:.1e})"


def populate_all(models: Sequence[zoo.Model], weights: str | None, repository: Path, *, force: bool = False) -> int:
    """Populate models one after the other, showing progress; returns how many failed."""
    failed = 0
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=progress_console, transient=True) as progress:
        for model in models:
            task = progress.add_task(model.name, total=len(STEPS))

            def report(step: str, task: object = task, name: str = model.name) -> None:
                progress.update(task, completed=STEPS.index(step), description=f"{name}: {step}")  # type: ignore[arg-type]

            try:
                done = populate(model, weights or default_weights(model), repository, force=force, report=report)
                progress_console.print(describe(model, done))
            except ScriptError as error:
                failed += 1
                progress_console.print(f"Error: {model.name}: {error.message}", style="red")
            progress.remove_task(task)
    return failed


@click.command(epilog=example("python -m scripts.populate EfficientNetB0 EfficientNetB4 --weights synthetic"))
@click.argument("models", nargs=-1, required=True, metavar="NAME...", callback=zoo_models)
@click.option(
    "--weights",
    metavar="official|sample|synthetic|PATH",
    help="PATH is a folder with a Paddle inference archive.  [default: official; sample for EfficientNetLite0]",
)
@click.option("--repository", type=click.Path(path_type=Path, file_okay=False), default=REPOSITORY, show_default=True)
@click.option("--force", is_flag=True, help="Populate again what is there already.")
def main(models: Sequence[zoo.Model], weights: str | None, repository: Path, force: bool) -> None:
    """Put the weights of models into a model repository, each verified against Paddle before it is published."""
    with termination_as_interrupt():
        if populate_all(models, weights, repository, force=force):
            sys.exit(1)


if __name__ == "__main__":
    main()
