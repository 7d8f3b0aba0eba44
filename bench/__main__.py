"""Measure, print, and with --out write the page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import click

from bench import ensemble, exports, growth, overload, page, preprocessing, sdk, server_memory, startup
from bench.alternatives import compare as alternatives
from bench.comparison import Comparison
from bench.table import Table
from scripts.console import progress_console
from tritonclas.cli import example

PARTS: dict[str, Callable[[], Iterator[Comparison] | Iterator[Table]]] = {
    "preprocessing": preprocessing.compare,
    "sdk": sdk.by_hand,
    "memory": sdk.shared_memory,
    "clients": growth.by_clients,
    "work": growth.by_work,
    "overload": overload.overload,
    "server_memory": server_memory.by_instances,
    "startup": startup.startup,
    "throughput": ensemble.throughput,
    "network": ensemble.network,
    "latency": ensemble.latency,
    "alternatives": alternatives.compare,
    "camera": ensemble.camera,
    "neighbour": ensemble.busy_neighbour,
    "exports": exports.compare,
}


@click.command(epilog=example("python -m bench --only preprocessing"))
@click.option("--only", type=click.Choice(list(PARTS)), help="Measure this part alone.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False, exists=True), help="Folder for the page.")
def main(only: str | None, out: Path | None) -> None:
    """Compare speeds with what people would otherwise use, on this machine, which should do nothing else meanwhile."""
    found: dict[str, list[Comparison | Table]] = {}
    for name in [only] if only else PARTS:
        found[name] = []
        with progress_console.status(f"measuring: {name}"):
            for each in PARTS[name]():
                found[name].append(each)
                click.echo(page.said(each))
    if out:
        page.write(found, out)
        click.echo(f"{out / 'benchmarks.md'} written")


if __name__ == "__main__":
    main()
