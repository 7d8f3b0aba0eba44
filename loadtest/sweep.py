"""The load test as a command: every model at every batch size with every number of users, one after another."""

from __future__ import annotations

from loadtest import gevent_first  # noqa: F401

# isort: split

import logging
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from loadtest import interrupt, report
from loadtest.arguments import SweepCommand, counts, names
from loadtest.cells import measured_cells
from loadtest.device import device_at
from loadtest.errors import LoadTestError
from loadtest.measure import Timing
from loadtest.pictures import EXAMPLES, read_pictures
from loadtest.plan import Planned, plan
from loadtest.results import FILE, Header, Results
from loadtest.subjects import check_batch_sizes, check_ready, examine
from loadtest.workload import DEFAULT_TIMEOUT_S, INPUTS, Workload
from tritonclas import ModelServer
from tritonclas.cli import example

#: Seconds that questions about the server itself may take.
_QUESTION_TIMEOUT_S = 10.0

#: The table is printed at least this wide in characters; a narrower terminal wraps it, and loses nothing.
_WIDTH = 190

EPILOG = example(
    "python -m loadtest.sweep --url localhost:8001 --models EfficientNetB0 EfficientNetB4 --out results/laptop"
)
seconds = click.FloatRange(0, min_open=True)


@click.command(cls=SweepCommand, epilog=EPILOG)
@click.option("--url", required=True, metavar="HOST:PORT", help="Triton's gRPC endpoint.")
@click.option("--models", multiple=True, required=True, callback=names, metavar="NAME...", help="Names on the server.")
@click.option(
    "--batch-sizes",
    multiple=True,
    default=["1,4,8"],
    show_default=True,
    callback=counts,
    metavar="N,...",
    help="Images a request.",
)
@click.option(
    "--users",
    multiple=True,
    default=["1,2,4"],
    show_default=True,
    callback=counts,
    metavar="N,...",
    help="Users at a time; each sends a request when the last one is answered.",
)
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    default=EXAMPLES,
    show_default="the repository's examples",
    help="Folder with the pictures to send.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DIR",
    help="Folder for results.json, report.md and report.html, which are replaced.",
)
@click.option("--duration", "duration_s", type=seconds, default=10.0, show_default=True, help="Seconds a cell.")
@click.option(
    "--warm-up",
    "warm_up_s",
    type=click.FloatRange(0),
    default=3.0,
    show_default=True,
    help="Seconds of load before a cell is measured.",
)
@click.option(
    "--inputs",
    multiple=True,
    default=["encoded"],
    show_default=True,
    callback=names,
    metavar="NAME,...",
    help=f"What is sent: {', '.join(INPUTS)}.",
)
@click.option(
    "--timeout", "timeout_s", type=seconds, default=DEFAULT_TIMEOUT_S, show_default=True, help="Seconds for a request."
)
@click.option("--profile", default="default", show_default=True, help="The server's profile, for the report.")
@click.option(
    "--device", metavar="TEXT", help="What the server runs on, for the report.  [default: this CPU if it is here]"
)
def main(
    *,
    models: tuple[str, ...],
    batch_sizes: tuple[int, ...],
    users: tuple[int, ...],
    inputs: tuple[Any, ...],
    images: Path,
    out: Path,
    duration_s: float,
    warm_up_s: float,
    profile: str,
    device: str | None,
    **target: Any,
) -> None:
    """Measure throughput and latency of served models, end to end from here.

    --models, --batch-sizes and --users take several words or a list with commas. Exit status 1 if a cell
    had failures only. After Ctrl-C what was measured is kept.
    """
    interrupt.only_in_main_greenlet()
    logging.basicConfig(level=logging.ERROR)  # Locust warns of a busy generator, which the report does for each cell
    template = Workload(model="", batch_size=1, pictures=read_pictures(images), **target)
    version = check_server(template.url, models)
    subjects = [examine(replace(template, model=name)) for name in models]
    check_batch_sizes(subjects, batch_sizes)
    check_writable(out)
    header = Header(
        server_version=version,
        profile=profile,
        device=device or device_at(template.url),
        client_version=metadata.version("tritonclas"),
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        duration_s=duration_s,
        warm_up_s=warm_up_s,
    )
    sweep(plan(template, subjects, batch_sizes, users, inputs), Results(header), out)


def check_server(url: str, models: Sequence[str]) -> str:
    """The server's version; an error unless it answers and has all models ready."""
    with ModelServer(url, timeout_s=_QUESTION_TIMEOUT_S) as server:
        version = server.version()
        check_ready(server, models)
    return version


def check_writable(folder: Path) -> None:
    """Make the folder; LoadTestError unless files can be made in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise LoadTestError(f"{folder} can't be written to ({error.strerror}); give --out another folder") from error


def sweep(planned: Sequence[Planned], results: Results, out: Path) -> None:
    """Measure all cells, keeping the results after each; LoadTestError if a cell had failures only."""
    timing = Timing(results.header.warm_up_s, results.header.duration_s)
    try:
        for cell in measured_cells(planned, timing):
            results = results.with_cell(cell)
            results.write(out)
    finally:
        if results.cells:
            report.write(results, out)
            show(results, out)
    failed = [cell.title for cell in results.cells if cell.failed]
    if failed:
        raise LoadTestError(f"all requests failed in {len(failed)} of {len(results.cells)} cells: {'; '.join(failed)}")


def show(results: Results, out: Path) -> None:
    """Print the table, and where it is kept."""
    console = Console(width=max(_WIDTH, Console().width))
    console.print(report.table(results))
    click.echo("\nin " + ", ".join(str(out / name) for name in (FILE, *report.FILES)))


if __name__ == "__main__":
    main()
