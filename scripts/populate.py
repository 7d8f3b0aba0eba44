"""The pipeline as a command: weights of zoo models, or of a user's own, become models that Triton can serve."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from scripts.arguments import repository_option, triple, zoo_model
from scripts.console import progress_console
from scripts.errors import ScriptError
from scripts.fetch import default_weights
from scripts.inference_yml import Preparation
from scripts.onnx_file import size_on_disk
from scripts.own import Own
from scripts.photographs import pictures_option
from scripts.pipeline import STEPS, Populated, populate
from scripts.processes import termination_as_interrupt
from scripts.render import FIRST_VERSION
from tritonclas import zoo
from tritonclas.cli import example

EPILOG = (
    example("python -m scripts.populate EfficientNetB0 EfficientNetB4 --weights synthetic")
    + "\n  python -m scripts.populate my_flowers --weights ./inference --labels flowers.txt --like EfficientNetB0"
)
#: Options that only a model of one's own has.
_OWN = ("labels", "like", "crop", "resize_short", "interpolation", "mean", "std", "max_batch_size")


@click.command(epilog=EPILOG)
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option(
    "--weights",
    metavar="official|sample|synthetic|PATH",
    help="PATH is a Paddle inference archive, a folder or a tar.  [default: official; sample for EfficientNetLite]",
)
@repository_option
@click.option("--version", type=click.IntRange(1), help="Beside those that are there.  [default: the one in service]")
@click.option("--force", is_flag=True, help="Populate again what is there already.")
@pictures_option
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array on what was done.")
@click.option("--labels", type=click.Path(path_type=Path), help="Own model: file with a class name a line.")
@click.option("--like", metavar="NAME", callback=zoo_model, help="Own model: prepare pictures as for this one.")
@click.option("--crop", type=click.IntRange(1), help="Own model: side of its pictures in pixels.")
@click.option("--resize-short", type=click.IntRange(1), help="Own model: short side before the crop, in pixels.")
@click.option("--interpolation", type=click.Choice(["cubic", "linear"]), help="Own model: of the resizing, cv2's.")
@click.option("--mean", metavar="R,G,B", callback=triple, help="Own model: of pixels scaled to 0..1.")
@click.option("--std", metavar="R,G,B", callback=triple, help="Own model: of pixels scaled to 0..1.")
@click.option("--max-batch-size", type=click.IntRange(1), help="Own model: images a request.  [default: 8]")
def main(
    names: tuple[str, ...],
    *,
    weights: str | None,
    repository: Path,
    version: int | None,
    force: bool,
    pictures: Path,
    as_json: bool,
    **own: Any,
) -> None:
    """Put the weights of models into a model repository, each verified against Paddle before it is published.

    A NAME that isn't in the zoo is a model of your own: give its archive with --weights, and --labels unless the
    archive's inference.yml has them. Sizes are read from the archive.

    With --version the weights come beside those that are there, and the ones in service stay so until
    scripts.release says otherwise.
    """
    models = wanted(names, weights, own)
    with termination_as_interrupt():
        done = populate_all(models, weights, repository, version=version, force=force, pictures=pictures)
    if as_json:
        click.echo(json.dumps([as_dict(each) for each in done], indent=2))
    if len(done) < len(models):
        sys.exit(1)


def wanted(names: Sequence[str], weights: str | None, own: dict[str, Any]) -> list[zoo.Model | Own]:
    """The models that are named, each once; a usage error unless names and options fit together."""
    given = [name for name in _OWN if own[name] is not None]
    names = list(dict.fromkeys(names))
    unknown = [name for name in names if name not in zoo.MODELS]
    if not unknown:
        if given:
            options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
            raise click.UsageError(f"{names[0]} is the zoo's, and {options} is for a model of your own; name yours")
        return [zoo.MODELS[name] for name in names]
    if weights in (None, "official", "sample", "synthetic"):
        raise click.UsageError(f"{_unknown(unknown[0])} A model of your own also needs --weights PATH.")
    if len(names) > 1:
        raise click.UsageError(f"{unknown[0]} isn't in the zoo; populate a model of your own alone")
    return [_own(unknown[0], own)]


def _unknown(name: str) -> str:
    try:
        return str(zoo.find(name))
    except zoo.UnknownModel as error:
        return str(error)


def _own(name: str, own: dict[str, Any]) -> Own:
    preparation = Preparation(
        resize_short=own["resize_short"],
        crop=own["crop"],
        interpolation=own["interpolation"],
        mean=own["mean"],
        std=own["std"],
    )
    return Own(
        name=name,
        labels=own["labels"],
        like=own["like"],
        preparation=preparation,
        max_batch_size=own["max_batch_size"],
    )


def populate_all(
    models: Sequence[zoo.Model | Own],
    weights: str | None,
    repository: Path,
    *,
    version: int | None = None,
    force: bool,
    pictures: Path,
) -> list[Populated]:
    """Populate models one after the other, showing progress and errors; returns those that succeeded."""
    succeeded = []
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=progress_console, transient=True) as progress:
        for model in models:
            task = progress.add_task(model.name, total=len(STEPS))

            def report(step: str, task: Any = task, name: str = model.name) -> None:
                progress.update(task, completed=STEPS.index(step), description=f"{name}: {step}")

            source = weights or default_weights(zoo.find(model.name))
            try:
                options: dict[str, Any] = {"version": version, "force": force, "pictures": pictures, "report": report}
                done = populate(model, source, repository, **options)
                progress_console.print(describe(done))
                succeeded.append(done)
            except ScriptError as error:
                progress_console.print(f"Error: {model.name}: {error.message}", style="red")
            progress.remove_task(task)
    return succeeded


def describe(done: Populated) -> str:
    """One line on what was done, and for a model of the user's own how its pictures are prepared."""
    model = done.origin.model
    size = f"{size_on_disk(done.path) / 1e6:.1f} MB, {done.origin.kind} weights"
    version = int(done.path.parent.name)
    number = f" version {version}" if version != FIRST_VERSION else ""
    if done.difference is None:
        return f"{model.name}{number}: already there ({size})"
    said = f"{model.name}{number}: published ({size}; differs from Paddle by at most {done.difference:.1e})"
    if model.name not in zoo.MODELS:
        said += (
            f"; {model.classes} classes; pictures: short side {model.resize_short}, crop {model.crop}, "
            f"{model.interpolation}, mean {_spelt(model.mean)}, std {_spelt(model.std)}"
        )
    if done.stale_plans:
        said += f"; {', '.join(done.stale_plans)} had other weights and is gone, build it again by scripts.engines"
    return said


def _spelt(values: Sequence[float]) -> str:
    return ",".join(f"{value:.4g}" for value in values)


def as_dict(done: Populated) -> dict[str, object]:
    """What a program may want to know."""
    return {
        "model": asdict(done.origin.model),
        "version": int(done.path.parent.name),
        "path": str(done.path),
        "bytes": size_on_disk(done.path),
        "weights": done.origin.kind,
        "source": done.origin.source,
        "parameters_sha256": done.origin.parameters_sha256,
        "difference": done.difference,
        "stale_plans": done.stale_plans,
        "seconds": done.seconds,
    }


if __name__ == "__main__":
    main()
