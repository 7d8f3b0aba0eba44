"""The survey as a command: measures every row that isn't measured yet, and writes the page."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import click
import psutil
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from loadtest.device import processor
from scripts import preflight
from scripts.arguments import zoo_models
from scripts.console import progress_console
from scripts.errors import ScriptError
from scripts.files import write_whole
from scripts.processes import termination_as_interrupt
from scripts.zoo.page import markdown
from scripts.zoo.record import Machine, Record, Survey, keep, kept
from scripts.zoo.row import STEPS, Timing, key, measure
from tritonclas import TritonClasError
from tritonclas.cli import example
from tritonclas.zoo import MODELS, Model

_PACKAGES = ("nvidia-pytriton", "onnxruntime", "paddlepaddle", "paddle2onnx", "locust")


@click.command(epilog=example("python -m scripts.zoo EfficientNetB0 EfficientNetB4"))
@click.argument("models", nargs=-1, metavar="[NAME...]", callback=zoo_models)
@click.option(
    "--work",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("reports", "zoo"),
    show_default=True,
    help="Folder that keeps what was measured, so that the next run goes on; needs 12 GB of room meanwhile.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("reports", "zoo"),
    show_default=True,
    help="Folder of zoo.md and zoo.json; make zoo gives docs.",
)
@click.option("--duration", "duration_s", default=5.0, show_default=True, help="Seconds of each load test cell.")
@click.option("--warm-up", "warm_up_s", default=2.0, show_default=True, help="Seconds of load before each cell.")
@click.option("--fresh", is_flag=True, help="Measure again what was measured already.")
def main(models: Sequence[Model], *, work: Path, out: Path, duration_s: float, warm_up_s: float, fresh: bool) -> None:
    """Take every row of the zoo, or those named, the whole way, and write a page on what was measured.

    Weights are synthetic, or a sample's real ones. All rows take an hour or so; an interrupted run goes on where it
    stopped, unless it stopped on another machine.
    """
    timing, machine = Timing(warm_up_s, duration_s), this_machine()
    chosen = models or tuple(MODELS.values())
    with termination_as_interrupt():
        preflight.check()
        if fresh:
            for model in chosen:
                (work / f"{model.name}.json").unlink(missing_ok=True)
        known(timing, machine, work)  # a damaged record is better named now than after an hour
        failed = survey(chosen, timing, machine, work)
        write(Survey(machine, known(timing, machine, work)), out)
    if failed:
        sys.exit(1)


def known(timing: Timing, machine: Machine, work: Path) -> tuple[Record, ...]:
    """What was measured on this machine of all rows, in this run or an earlier one."""
    found = (kept(model.name, key(model, timing, machine), work) for model in MODELS.values())
    return tuple(record for record in found if record)


def survey(models: Sequence[Model], timing: Timing, machine: Machine, work: Path) -> int:
    """Measure the rows that aren't measured yet, showing progress and errors; returns how many failed."""
    failed = 0
    columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    with Progress(*columns, console=progress_console) as progress:
        bar: Any = progress.add_task("", total=len(models) * len(STEPS))
        for number, model in enumerate(models):

            def report(step: str, number: int = number, name: str = model.name) -> None:
                completed = number * len(STEPS) + STEPS.index(step)
                progress.update(bar, completed=completed, description=f"{name}: {step}")

            try:
                record = kept(model.name, key(model, timing, machine), work)
                if record is None:
                    record = measure(model, timing, machine, work / model.name, report)
                    keep(record, work)
                progress_console.print(summary(record))
            except (ScriptError, TritonClasError, OSError) as error:
                failed += 1
                progress_console.print(f"Error: {model.name}: {error}", style="red")
        progress.update(bar, completed=len(models) * len(STEPS), description="done")
    return failed


def summary(record: Record) -> str:
    """One line for who waits."""
    latency = ", ".join(f"batch {size} {each.avg_ms:,.0f} ms" for size, each in record.latency.items())
    return f"{record.model}: differs from Paddle by at most {record.served_difference:.1e}; {latency}"


def this_machine() -> Machine:
    """What this is measured on and with."""
    return Machine(
        processor=processor(),
        cores=os.cpu_count() or 1,
        memory=psutil.virtual_memory().total,
        system=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        versions={name: metadata.version(name) for name in _PACKAGES},
    )


def write(found: Survey, folder: Path) -> None:
    """Put the page and its data into a folder."""
    found.write(folder / "zoo.json")
    write_whole(folder / "zoo.md", markdown(found))
    click.echo(f"{folder / 'zoo.md'}: {len(found.records)} of {len(MODELS)} models measured")


if __name__ == "__main__":
    main()
