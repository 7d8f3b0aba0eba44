"""The `tritonclas` command: classify pictures, and look at a server, from a terminal."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tritonclas import (
    Classification,
    Classifier,
    ImageRejected,
    ModelNotFound,
    ModelServer,
    ModelStatistics,
    ModelStatus,
    TritonClasError,
)
from tritonclas.served import is_part
from tritonclas.zoo import near_matches


def example(command: str) -> str:
    """A command line for the end of a help text, which click mustn't wrap."""
    return f"\b\nExample:\n  {command}"


#: Columns that the widest table needs; a narrower terminal breaks its lines, which is better than cutting names.
_TABLE_WIDTH = 110

url_option = click.option(
    "--url", default="localhost:8001", show_default=True, metavar="HOST:PORT", help="Triton's gRPC endpoint."
)
preprocess_option = click.option(
    "--preprocess",
    type=click.Choice(["server", "client"]),
    default="server",
    show_default=True,
    help="Where pictures are decoded and cropped.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")


class OneLineErrors(click.Group):
    """Commands whose errors are one line on stderr and exit status 1."""

    def invoke(self, context: click.Context) -> Any:
        """Run the command; errors of this package become click's."""
        try:
            return super().invoke(context)
        except TritonClasError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=OneLineErrors, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tritonclas")
def main() -> None:
    """Classify pictures with PaddleClas's models on an NVIDIA Triton server."""


@main.command(epilog=example("tritonclas classify cat.jpg dog.png --model EfficientNetB0 --top-k 3"))
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@url_option
@click.option("--model", required=True, help="The model's name on the server.")
@click.option("--top-k", type=click.IntRange(1), default=5, show_default=True, help="Classes to show of each picture.")
@preprocess_option
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0, min_open=True),
    default=30.0,
    show_default=True,
    help="Seconds for a request.",
)
@json_option
def classify(
    images: tuple[str, ...], *, url: str, model: str, top_k: int, preprocess: Any, timeout_s: float, as_json: bool
) -> None:
    """Classify pictures. Exit status 1 if any of them couldn't be; the others are still answered."""
    with Classifier(url, model, preprocess=preprocess, timeout_s=timeout_s) as classifier:
        results = classifier.classify_many(images, top_k=top_k, batch_size=1 if len(images) == 1 else None)
        try:
            rejected = (_show_json if as_json else _show)(images, results)
        except ModelNotFound as error:
            raise _with_near_matches(error, url, model) from error
    if rejected:
        sys.exit(1)


def _with_near_matches(error: ModelNotFound, url: str, model: str) -> click.ClickException:
    known: list[str] = []
    with ModelServer(url) as server, contextlib.suppress(TritonClasError):  # the index may be restricted
        known = [status.name for status in server.models() if status.ready and not is_part(status.name)]
    return click.ClickException(f"{error}; {near_matches(model, known)}" if known else str(error))


def _show_json(images: Iterable[str], results: Iterable[Classification | ImageRejected]) -> int:
    """Print all answers as one JSON array, and return how many are rejections."""
    answers = [
        {"image": image, "error": result.reason}
        if isinstance(result, ImageRejected)
        else {"image": image, **result.to_dict()}
        for image, result in zip(images, results, strict=True)
    ]
    click.echo(json.dumps(answers, indent=2))
    return sum("error" in answer for answer in answers)


def _show(images: Iterable[str], results: Iterable[Classification | ImageRejected]) -> int:
    """Print each answer as it comes, and return how many are rejections."""
    console = plain_console()
    rejected = 0
    for image, result in zip(images, results, strict=True):
        if isinstance(result, ImageRejected):
            rejected += 1
            click.echo(f"Error: {result}", err=True)
        else:
            show_top_k(console, image, result)
    return rejected


def plain_console(**options: Any) -> Console:
    """A console that prints names as they are: no markup, no emoji, and no line broken within a word."""
    return Console(markup=False, emoji=False, highlight=False, soft_wrap=True, **options)


def show_top_k(console: Console, image: str, result: Classification) -> None:
    """Print the classes of one picture with their scores."""
    table = Table(box=None)
    table.add_column("score", justify="right")
    table.add_column("class", justify="right")
    table.add_column("name")
    for label in result.labels:
        table.add_row(f"{label.score:.4f}", str(label.index), Text(label.name))
    console.print(f"{image} · {result.model}", style="bold")
    console.print(table)


@main.command(epilog=example("tritonclas models --url triton.example:8001"))
@url_option
@click.option("--all", "everything", is_flag=True, help="Also what the ensembles consist of.")
@json_option
def models(url: str, everything: bool, as_json: bool) -> None:
    """List the models in the server's repository and whether they are ready."""
    with ModelServer(url) as server:
        found = [status for status in server.models() if everything or not is_part(status.name)]
    if as_json:
        click.echo(json.dumps([asdict(status) for status in found], indent=2))
        return
    _print_table(("model", "version", "state"), [(s.name, s.version or "-", _state(s)) for s in found])


@main.command(epilog=example("tritonclas stats EfficientNetB0_net"))
@click.argument("name", required=False)
@url_option
@json_option
def stats(name: str | None, url: str, as_json: bool) -> None:
    """Show what a model, or every loaded one, has done: counts, and mean times of a request in ms."""
    with ModelServer(url) as server:
        found = server.statistics(name)
    if as_json:
        click.echo(json.dumps([asdict(each) for each in found], indent=2))
        return
    columns = ("model", "images", "batches", "requests", "failed", "queue ms", "input ms", "infer ms", "output ms")
    _print_table(columns, [_stats_row(each) for each in found])


def _stats_row(stats: ModelStatistics) -> tuple[str, ...]:
    times = (stats.queue_s, stats.compute_input_s, stats.compute_infer_s, stats.compute_output_s)
    counts = (stats.inferences, stats.executions, stats.successes, stats.failures)
    means = (f"{1000 * total / stats.successes:.2f}" if stats.successes else "-" for total in times)
    return stats.name, *map(str, counts), *means


def _state(status: ModelStatus) -> str:
    return f"{status.state or 'not loaded'} {status.reason}".strip()


def _print_table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    table = Table(*columns, box=None)
    for row in rows:
        table.add_row(*map(Text, row))
    plain_console(width=max(_TABLE_WIDTH, plain_console().width)).print(table)
