"""The `tritonclas` command: classify pictures, and look at a server, from a terminal."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click
from google.protobuf import json_format, text_format
from rich.console import Console
from rich.table import Table
from rich.text import Text
from tritonclient.grpc import model_config_pb2

from tritonclas import (
    Classification,
    ImageRejected,
    ModelNotFound,
    ModelStatistics,
    ModelStatus,
    TritonClasError,
)
from tritonclas._answers import Answers
from tritonclas._bulk import answered, classify_into
from tritonclas._connection import Connection, connection_options
from tritonclas._picture_files import Pictures
from tritonclas._tables import plain_console, table_of, wide_console
from tritonclas._watch import Seconds, watch
from tritonclas.served import is_part
from tritonclas.zoo import near_matches


def example(command: str) -> str:
    """A command line for the end of a help text, which click mustn't wrap."""
    return f"\b\nExample:\n  {command}"


_SECONDS = click.FloatRange(0, min_open=True)

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
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")  # names of files needn't be text


@main.command(epilog=example("tritonclas classify photos --recursive --model EfficientNetB0 --out answers.jsonl"))
@click.argument("images", nargs=-1, required=True, metavar="IMAGE|FOLDER...")
@connection_options
@click.option("--model", required=True, help="The model's name on the server.")
@click.option("--top-k", type=click.IntRange(1), default=5, show_default=True, help="Classes to show of each picture.")
@preprocess_option
@click.option(
    "--timeout",
    "timeout_s",
    type=_SECONDS,
    default=30.0,
    show_default=True,
    help="Seconds for a request.",
)
@click.option("--recursive", is_flag=True, help="Of folders, also what is in folders within.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="File for the answers, a row each.")
@click.option("--batch-size", type=click.IntRange(1), help="Images a request.  [default: 8, or what the model takes]")
@click.option("--in-flight", type=click.IntRange(1), default=4, show_default=True, help="Requests at a time.")
@json_option
def classify(
    images: tuple[str, ...],
    *,
    connection: Connection,
    model: str,
    preprocess: Any,
    timeout_s: float,
    recursive: bool,
    out: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Classify pictures, also those in folders. Exit status 1 if any of them couldn't be; the others are answered.

    With --out the answers go into a file, .jsonl, .csv or .parquet; interrupted, the same command goes on.
    """
    if out and as_json:
        raise click.UsageError("--json prints the answers, --out writes them into a file; give one")
    chosen = Pictures(images, recursive)
    if len(images) == 1 and not Path(images[0]).is_dir():
        options["batch_size"] = 1
    answers = Answers(out, model, options["top_k"]) if out else None
    with connection.classifier(model, preprocess=preprocess, timeout_s=timeout_s) as classifier:
        try:
            if answers:
                rejected = classify_into(answers, chosen, classifier, options)
            else:
                rejected = (_show_json if as_json else _show)(answered(classifier, chosen, options))
        except ModelNotFound as error:
            raise _with_near_matches(error, connection, model) from error
    if rejected or chosen.faults:
        sys.exit(1)


def _with_near_matches(error: ModelNotFound, connection: Connection, model: str) -> click.ClickException:
    known: list[str] = []
    one = replace(connection, urls=connection.urls[:1])
    with one.server() as server, contextlib.suppress(TritonClasError):  # the index may be restricted
        known = [status.name for status in server.models() if status.ready and not is_part(status.name)]
    return click.ClickException(f"{error}; {near_matches(model, known)}" if known else str(error))


Answered = Iterable[tuple[str, Classification | ImageRejected]]


def _show_json(results: Answered) -> int:
    """Print all answers as one JSON array, and return how many are rejections."""
    answers = [
        {"image": image, "error": result.reason}
        if isinstance(result, ImageRejected)
        else {"image": image, **result.to_dict()}
        for image, result in results
    ]
    click.echo(json.dumps(answers, indent=2))
    return sum("error" in answer for answer in answers)


def _show(results: Answered) -> int:
    """Print each answer as it comes, and return how many are rejections."""
    console = plain_console()
    rejected = 0
    for image, result in results:
        if isinstance(result, ImageRejected):
            rejected += 1
            click.echo(f"Error: {result}", err=True)
        else:
            show_top_k(console, image, result)
    return rejected


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
@connection_options
@click.option("--all", "everything", is_flag=True, help="Also what the ensembles consist of.")
@json_option
def models(*, connection: Connection, everything: bool, as_json: bool) -> None:
    """List the models in the server's repository and whether they are ready."""
    with connection.server() as server:
        found = [status for status in server.models() if everything or not is_part(status.name)]
    if as_json:
        click.echo(json.dumps([asdict(status) for status in found], indent=2))
        return
    rows = [(s.name, s.version or "-", _state(s)) for s in found]
    wide_console().print(table_of(("model", "version", "state"), rows))


@main.command(epilog=example("tritonclas stats EfficientNetB0_net"))
@click.argument("name", required=False)
@connection_options
@click.option(
    "--watch",
    "every_s",
    type=Seconds(),
    is_flag=False,
    flag_value="2",
    metavar="[SECONDS]",
    help="What is done now, every 2 or so many seconds, until Ctrl-C.",
)
@json_option
def stats(name: str | None, *, connection: Connection, every_s: float | None, as_json: bool) -> None:
    """Show what a model, or every loaded one, has done: counts, and mean times of a request in ms.

    "total" is from its arrival to its answer. Of one model, also how often how many images were computed at once; of an
    ensemble, how many came with a request. With --watch what is done per second and means of each interval; with --json
    too, a line for each.
    """
    with connection.server() as server:
        if every_s:
            watch(server, name, every_s, as_json=as_json)
            return
        found = server.statistics(name)
    if as_json:
        click.echo(json.dumps([asdict(each) for each in found], indent=2))
        return
    times = ("total ms", "queue ms", "input ms", "infer ms", "output ms")
    columns = ("model", "images", "batches", "requests", "failed", *times)
    wide_console().print(table_of(columns, map(_stats_row, found)))
    for each in found if name else ():
        if each.batch_sizes:
            sizes = [map(str, size) for size in sorted(each.batch_sizes.items())]
            wide_console().print(table_of(("images at once", "batches"), sizes))


def _stats_row(stats: ModelStatistics) -> tuple[str, ...]:
    times = (stats.success_s, stats.queue_s, stats.compute_input_s, stats.compute_infer_s, stats.compute_output_s)
    counts = (stats.inferences, stats.executions, stats.successes, stats.failures)
    means = (f"{1000 * total / stats.successes:.2f}" if stats.successes else "-" for total in times)
    return stats.name, *map(str, counts), *means


@main.command(epilog=example("tritonclas load EfficientNetB0 --header triton-grpc-protocol-admin-key=@key.txt"))
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@connection_options
@click.option(
    "--config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Configuration, JSON or .pbtxt, in place of the one in the model's folder; for one NAME.",
)
@click.option("--timeout", "timeout_s", type=_SECONDS, default=300.0, show_default=True, help="Seconds for each model.")
def load(names: tuple[str, ...], *, connection: Connection, config: Path | None, timeout_s: float) -> None:
    """Load models, or load them again; of an ensemble also what it consists of.

    Triton must have been started with --model-control-mode=explicit, as scripts.serve does it.
    """
    if config and len(names) > 1:
        raise click.UsageError("--config is of one model; give one NAME")
    with connection.server() as server:
        for name in names:
            server.load(name, config=read_config(config) if config else None, timeout_s=timeout_s)
            click.echo(f"{name}: loaded")


def read_config(path: Path) -> dict[str, Any]:
    """A model's configuration out of a JSON file or a .pbtxt; click's error names what is wrong with it."""
    try:
        text = path.read_text(encoding="utf-8")
        config = model_config_pb2.ModelConfig()
        (text_format.Parse if path.suffix == ".pbtxt" else json_format.Parse)(text, config)
    except (OSError, ValueError, text_format.ParseError, json_format.ParseError) as error:
        raise click.ClickException(f"{path} isn't a model configuration ({' '.join(str(error).split())})") from error
    return json_format.MessageToDict(config, preserving_proto_field_name=True)


@main.command(epilog=example("tritonclas unload EfficientNetB0"))
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@connection_options
def unload(names: tuple[str, ...], *, connection: Connection) -> None:
    """Unload models, of an ensemble also what it consists of."""
    with connection.server() as server:
        for name in names:
            server.unload(name)
            click.echo(f"{name}: unloaded")


@main.command(epilog=example("tritonclas ready EfficientNetB0 --wait 60"))
@click.argument("names", nargs=-1, metavar="[NAME...]")
@connection_options
@click.option("--wait", "wait_s", type=_SECONDS, help="Wait so many seconds for it.")
def ready(names: tuple[str, ...], *, connection: Connection, wait_s: float | None) -> None:
    """Exit with 0 if the server, or each of these models, answers requests, otherwise with 1."""
    with connection.server() as server:
        if wait_s:
            server.wait_ready(names, timeout_s=wait_s)
        states = {name or "the server": server.ready(name) for name in names or (None,)}
    for name, answers in states.items():
        click.echo(f"{name}: {'ready' if answers else 'not ready'}")
    if not all(states.values()):
        sys.exit(1)


def _state(status: ModelStatus) -> str:
    return f"{status.state or 'not loaded'} {status.reason}".strip()
