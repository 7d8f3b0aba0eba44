"""Two sweeps beside each other: ratios, and a mark for what changed beyond the noise."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from loadtest.cell import Cell
from loadtest.results import Header, Results
from loadtest.timing import AGREEING
from tritonclas.cli import example

#: Differences below this aren't told from noise, however steady the windows were.
LEAST_NOISE = 0.05


@dataclass(frozen=True)
class Change:
    """A cell of both sweeps: the second's figures divided by the first's.

    `noise` is how far the windows of either lay apart (0.08: the largest was 8 % above the smallest), at least 5 %;
    None if a window had no answer. `faster` and `slower` say that throughput or average latency changed by more than
    that, for better or worse. `doubts` are marks of either cell, and say if their weights aren't of the same kind.
    """

    title: str
    images_per_s: tuple[float, float]
    throughput_ratio: float | None
    latency_ratio: float | None
    p99_ratio: float | None
    noise: float | None
    doubts: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """What changed beyond the noise."""
        before, after = self.images_per_s
        if not before or not after:
            return "fails" if before else "answers again" if after else "fails, as before"
        if self.noise is None:
            return "unclear"
        marks = {
            "faster": _beyond(self.throughput_ratio, self.noise) > 0 or _beyond(self.latency_ratio, self.noise) < 0,
            "slower": _beyond(self.throughput_ratio, self.noise) < 0 or _beyond(self.latency_ratio, self.noise) > 0,
        }
        return " and ".join(mark for mark, holds in marks.items() if holds) or "same"


def changes(first: Results, second: Results) -> list[Change]:
    """Of the cells that both have."""
    others = {cell.key: cell for cell in second.cells}
    return [_change(cell, others[cell.key]) for cell in first.cells if cell.key in others]


def _change(first: Cell, second: Cell) -> Change:
    one, two = first.latency_ms, second.latency_ms
    apart = [_apart(values) for cell in (first, second) for values in _of_windows(cell)]
    known = [each for each in apart if each is not None]
    return Change(
        title=first.key.title,
        images_per_s=(first.images_per_s, second.images_per_s),
        throughput_ratio=_ratio(first.images_per_s, second.images_per_s),
        latency_ratio=_ratio(one.avg, two.avg) if one and two else None,
        p99_ratio=_ratio(one.p99, two.p99) if one and two else None,
        noise=max(LEAST_NOISE, *known) if len(known) == len(apart) else None,
        doubts=tuple(_doubts(first, second)),
    )


def _doubts(first: Cell, second: Cell) -> Iterator[str]:
    for which, cell in (("first", first), ("second", second)):
        yield from (f"{which} {doubt}" for doubt in cell.doubts)
        if cell.failures:
            yield f"{which} with failures"
        if cell.other_requests:
            yield f"{which} beside other requests"
    if first.synthetic != second.synthetic:
        yield f"{'first' if first.synthetic else 'second'} with synthetic weights"


def _of_windows(cell: Cell) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return cell.window_images_per_s[-AGREEING:], cell.window_latency_ms[-AGREEING:]


def _apart(values: tuple[float, ...]) -> float | None:
    if not values:
        return 0.0
    return max(values) / min(values) - 1 if min(values) > 0 else None


def _ratio(first: float, second: float) -> float | None:
    return second / first if first else None


def _beyond(ratio: float | None, noise: float) -> int:
    if ratio is None:
        return 0
    return (ratio > 1 + noise) - (ratio < 1 / (1 + noise))


def conditions(first: Header, second: Header) -> Iterator[str]:
    """In what the sweeps' conditions differ, a line each."""
    one, two = asdict(first), asdict(second)
    for name, value in one.items():
        if value != two[name]:
            yield f"{name.replace('_', ' ')}: {value} | {two[name]}"


def compare(first: Path, second: Path, *, as_json: bool = False) -> None:
    """Print how the second results.json differs from the first."""
    one, two = Results.read(first), Results.read(second)
    found = changes(one, two)
    if as_json:
        click.echo(json.dumps([asdict(each) | {"verdict": each.verdict} for each in found], indent=2))
        return
    console = Console(width=max(100, Console().width))
    for line in conditions(one.header, two.header):
        console.print(Text(line))
    console.print(_table(found))
    for title, cells in (("first", one.cells), ("second", two.cells)):
        alone = len(cells) - len(found)
        if alone:
            console.print(f"{alone} cells are only in the {title}")


def _table(found: list[Change]) -> Table:
    table = Table(box=None, caption="ratios: second / first", caption_justify="left")
    for name in ("cell", "images/s", "then", "ratio", "avg ms ratio", "p99 ratio", "noise", "", "marks"):
        words = name in ("cell", "", "marks")
        table.add_column(name, justify="left" if words else "right", no_wrap=name not in ("cell", "marks"))
    for each in found:
        ratios = (each.throughput_ratio, each.latency_ratio, each.p99_ratio)
        table.add_row(
            Text(each.title),
            *(f"{value:.1f}" for value in each.images_per_s),
            *("-" if ratio is None else f"{ratio:.2f}" for ratio in ratios),
            "-" if each.noise is None else f"{100 * each.noise:.0f} %",
            each.verdict,
            ", ".join(each.doubts),
        )
    return table


@click.command(epilog=example("python -m loadtest.compare results/before/results.json results/after/results.json"))
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def main(first: Path, second: Path, as_json: bool) -> None:
    """Compare two sweeps' results: throughput, average and 99th percentile, second divided by first.

    A change is one beyond the noise: 5 %, or how far a cell's own windows lay apart if that is more.
    """
    compare(first, second, as_json=as_json)


if __name__ == "__main__":
    main()
