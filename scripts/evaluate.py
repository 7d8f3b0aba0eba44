"""Accuracy through the server: top-1 and top-5 over labelled pictures, beside what was published."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from scripts.errors import ScriptError
from scripts.evaluation.accuracy import Share, percent
from scripts.evaluation.measure import STATES, Evaluation, Request, evaluate
from scripts.processes import termination_as_interrupt
from tritonclas import ModelNotFound, ModelServer, TritonClasError
from tritonclas._connection import identity_options
from tritonclas._tables import plain_console
from tritonclas.cli import example, json_option, preprocess_option
from tritonclas.served import is_part
from tritonclas.zoo import near_matches

#: The table's columns need so many characters; a narrower terminal breaks lines.
_WIDTH = 120
_INTERRUPTED = 130  # 128 + SIGINT, as shells have it

EPILOG = example("python -m scripts.evaluate EfficientNetB0 --images ILSVRC2012 --labels ILSVRC2012/val_list.txt")


@click.command(epilog=EPILOG)
@click.argument("name")
@click.option(
    "--images",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    required=True,
    metavar="DIR",
    help="Folder of the pictures.",
)
@click.option(
    "--labels",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="A list with PATH INDEX a line, or the names of the classes.",
)
@click.option("--url", default="localhost:8001", show_default=True, metavar="HOST:PORT", help="Triton's gRPC endpoint.")
@identity_options
@preprocess_option
@click.option("--batch-size", type=click.IntRange(1), help="Images a request.  [default: 8, or what the model takes]")
@click.option("--in-flight", type=click.IntRange(1, 64), default=4, show_default=True, help="Requests at a time.")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0, min_open=True),
    default=60.0,
    show_default=True,
    help="Seconds for a request.",
)
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Only the first N pictures.")
@click.option(
    "--state",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help=f"Where answers are kept until all are there.  [default: a file in {STATES}]",
)
@click.option("--fresh", is_flag=True, help="Start anew, whatever an earlier run has left.")
@json_option
@click.pass_context
def main(context: click.Context, /, as_json: bool, **asked: Any) -> None:
    """Measure a served model's top-1 and top-5 accuracy over labelled pictures.

    --labels is a list such as ImageNet's val_list.txt: a picture's path below DIR and the index of its class a line.
    Without one, DIR has a folder per class, named by index or by the class's name, or one for each class in
    sorted order; --labels may then give the names of the classes, one a line.

    What was measured is kept if the run ends early, and the same command goes on from there. Pictures that can't
    be decoded are left out and listed; exit status 1 if they are more than 1 %.
    """
    request = Request(**asked)
    with termination_as_interrupt(), _one_line_errors(context, request):
        found = evaluate(request)
        if as_json:
            click.echo(json.dumps(found.to_dict(), indent=2))
        else:
            plain_console(width=max(_WIDTH, plain_console().width)).print(table(found))
        for remark in found.subject.remarks(found.tally):
            click.echo(f"Warning: {remark}", err=True)
        if not found.tally.usable:
            raise ScriptError("too many pictures were rejected: this isn't the accuracy over the set")


@contextmanager
def _one_line_errors(context: click.Context, request: Request) -> Iterator[None]:
    """The SDK's errors become click's, with near matches of an unknown model's name."""
    try:
        yield
    except ModelNotFound as error:
        known: list[str] = []
        with (
            ModelServer(request.url, tls=request.tls, headers=request.headers) as server,
            suppress(TritonClasError),
        ):  # the index may be restricted
            known = [status.name for status in server.models() if status.ready and not is_part(status.name)]
        raise ScriptError(f"{error}; {near_matches(request.name, known)}" if known else str(error)) from error
    except TritonClasError as error:
        raise ScriptError(str(error)) from error
    except KeyboardInterrupt:
        context.exit(_INTERRUPTED)


def table(found: Evaluation) -> Table:
    """The accuracy, how sure it is, and the published one beside it."""
    drawn = Table("", "measured", "95 % interval", "published", box=None)
    published = found.subject.published
    for name, share, value in (
        ("top-1", found.tally.top1, published and published.top1),
        ("top-5", found.tally.top5, published and published.top5),
    ):
        drawn.add_row(name, *_measured_cells(share), percent(value) if value else "-")
    speed = f", {found.images_per_s:.1f} images/s" if found.images_per_s else ""
    drawn.title = (
        f"{found.subject.name}: {found.tally.answered} pictures answered, {found.tally.rejected} rejected{speed}"
    )
    drawn.title_justify = "left"
    return drawn


def _measured_cells(share: Share) -> tuple[str, str]:
    if not share.of:
        return "not measured", "-"
    low, high = share.interval
    return f"{percent(share.value)} ({share.right})", f"{percent(low)} to {percent(high)}"


if __name__ == "__main__":
    main()
