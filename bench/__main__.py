"""Measure, print, and with --out write the page."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from bench import (
    agreement,
    ensemble,
    exports,
    floor,
    growth,
    overload,
    page,
    preprocessing,
    scaled,
    sdk,
    server_memory,
    startup,
)
from bench.alternatives import compare as alternatives
from bench.comparison import Comparison
from bench.table import Table
from scripts.in_process import NoHost
from tritonclas.cli import example

PARTS: dict[str, Callable[[], Iterator[Comparison | Table] | Iterator[Comparison] | Iterator[Table]]] = {
    "throughput": ensemble.throughput,
    "floor": floor.floor,
    "network": ensemble.network,
    "latency": ensemble.latency,
    "alternatives": alternatives.compare,
    "isolated": ensemble.in_processes,
    "camera": ensemble.camera,
    "neighbour": ensemble.busy_neighbour,
    "exports": exports.compare,
    "preprocessing": preprocessing.compare,
    "scaled": scaled.compare,
    "sdk": sdk.by_hand,
    "memory": sdk.shared_memory,
    "bfloat16": agreement.compared,
    "clients": growth.by_clients,
    "work": growth.by_work,
    "overload": overload.overload,
    "server_memory": server_memory.by_instances,
    "startup": startup.startup,
}


@click.command(epilog=example("python -m bench --only preprocessing"))
@click.option(
    "--only", type=click.Choice(list(PARTS)), multiple=True, help="Measure these parts; the page keeps others."
)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False, exists=True), help="Folder for the page.")
def main(only: tuple[str, ...], out: Path | None) -> None:
    """Compare speeds with what people would otherwise use, on this machine, which should do nothing else meanwhile."""
    found = page.kept(out) if out and only else {}
    with tempfile.TemporaryDirectory(prefix="tritonclas-bench-") as cache:
        os.environ["XDG_CACHE_HOME"] = cache  # what is made for models of a few minutes isn't worth keeping
        for name in only or PARTS:
            try:
                found[name] = list(_measured(name))
            except NoHost as error:
                raise click.ClickException(f"{name} can't be measured: {error}") from error
            if out:  # after each part, so that an interruption costs one
                page.write({part: found[part] for part in PARTS if part in found}, out)
    if out:
        click.echo(f"{out / 'benchmarks.md'} written")


def _measured(name: str) -> Iterator[Comparison | Table]:
    for each in PARTS[name]():
        click.echo(page.said(each))
        yield each


if __name__ == "__main__":
    main()
