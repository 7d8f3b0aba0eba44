"""What a model repository holds, as a table."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from scripts.arguments import repository_option
from scripts.inventory import Entry, inventory
from tritonclas._tables import plain_console
from tritonclas.cli import example

COLUMNS = ("model", "version", "weights", "crop", "classes", "resized", "batch", "MB", "plans", "source")

#: A narrower terminal breaks the table's lines, which is better than cutting names.
_WIDTH = 160


@click.command(epilog=example("python -m scripts.list --repository model_repository"))
@repository_option
@click.option("--all", "everything", is_flag=True, help="Also the zoo's models without weights.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def main(repository: Path, *, everything: bool, as_json: bool) -> None:
    """List the models of a repository: whose weights they have, and how they are served."""
    found = [entry for entry in inventory(repository) if everything or not _is_bare(entry)]
    if as_json:
        click.echo(json.dumps([as_dict(entry) for entry in found], indent=2))
    elif found:
        show(found)
    else:
        click.echo(f"no model in {repository} has weights yet; run python -m scripts.populate")


def _is_bare(entry: Entry) -> bool:
    """True for a row of the zoo of which nothing but its configurations is there."""
    return entry.whose == "zoo" and not (entry.populated or entry.plans or entry.fault)


def show(entries: Iterable[Entry]) -> None:
    """Print the table, and below it what is wrong with models."""
    table = Table(box=None)
    for column in COLUMNS:
        table.add_column(column, justify="right" if column in ("crop", "classes", "batch", "MB") else "left")
    faults = []
    for entry in entries:
        table.add_row(*map(Text, row(entry)))
        faults += [f"{entry.name}: {entry.fault}"] if entry.fault else []
    console = plain_console()
    console.width = max(_WIDTH, console.width)
    console.print(table)
    for fault in faults:
        console.print(fault)


def row(entry: Entry) -> tuple[str, ...]:
    """The entry's cells, as COLUMNS names them; "-" for what nobody says."""
    setup = entry.setup
    return (
        entry.name,
        version(entry),
        weights(entry),
        *map(_text, (setup.crop, setup.classes, setup.interpolation, setup.max_batch_size)),
        f"{entry.nbytes / 1e6:.1f}",
        " ".join(entry.plans) or "-",
        entry.origin.source if entry.origin else "-",
    )


def version(entry: Entry) -> str:
    """The version in service, and of how many if there are several."""
    others = [number for number in entry.versions if number != entry.version]
    beside = f" (beside {', '.join(map(str, others))})" if others else ""
    return f"{entry.version}{beside}" if entry.populated else "-"


def weights(entry: Entry) -> str:
    """Kind of the weights: official, own, sample or synthetic; or what else there is to say of them."""
    if not entry.populated:
        return "no weights"
    if entry.origin:
        return entry.origin.kind
    return "by hand" if entry.whose == "by hand" else "unknown"


def _text(value: object) -> str:
    return "-" if value is None else str(value)


def as_dict(entry: Entry) -> dict[str, object]:
    """What a program may want to know."""
    origin = entry.origin
    return {
        "model": entry.name,
        "whose": entry.whose,
        "weights": weights(entry),
        "version": entry.version if entry.populated else None,
        "versions": entry.versions,
        **asdict(entry.setup),
        "bytes": entry.nbytes,
        "plans": entry.plans,
        "source": origin.source if origin else None,
        "parameters_sha256": origin.parameters_sha256 if origin else None,
        "fault": entry.fault,
    }


if __name__ == "__main__":
    main()
