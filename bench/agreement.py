"""How far answers in bfloat16 are from float32's, and how much sooner they come: python -m bench.agreement."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import click
import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from backends.openvino.bfloat16 import cpu_flags, lacking
from bench.comparison import Measure
from bench.table import Table
from scripts.console import progress_console
from scripts.embedded import EmbeddedServer
from scripts.photographs import EXAMPLES
from scripts.pipeline import populate
from scripts.profiles import OPENVINO
from tritonclas import Classifier, zoo
from tritonclas.cli import example

#: The example photographs, and those of the tests: all that are at hand.
PICTURES = (*sorted(EXAMPLES.glob("*.jpg")), *sorted((EXAMPLES.parent / "tests" / "data" / "labelled").glob("*.jpg")))
VIEWS_OF_EACH = 60
#: A view shows at least so much of a photograph's area, and its sides are at most so unequal, as in training.
_LEAST_AREA = 0.25
_LONGEST = 4 / 3

BATCH = 8
TIMED = 8 * BATCH
ROUNDS = 7

_COLUMNS = (
    "model",
    "top-1 the same",
    "else margin at most",
    "top-5 the same",
    "largest difference",
    "mean",
    "images/s, bfloat16 / float32",
)
_NOTE = f"""\
The same {VIEWS_OF_EACH * len(PICTURES)} random crops of {len(PICTURES)} photographs through the embedded server in both
profiles; the speed is that of one caller with batches of {BATCH}. *Margin*: how much more float32 gave its first class
than its second, where bfloat16 has another first."""

Pixels = NDArray[np.uint8]
Rows = NDArray[np.float32]


@dataclass(frozen=True)
class Row:
    """What one model answers in bfloat16 beside float32, to the same `views` of photographs.

    `top1` and `top5` are the shares of views with the same likeliest class, and with the same five likeliest in any
    order. Where the likeliest is another, float32 gave its first class at most `margin` more than its second.
    `largest` and `mean` are absolute differences of probabilities. `ratios` has how many times as many images/s there
    were in each round, one caller with batches of 8 through the server; `images_per_s` are the medians, in float32 and
    in bfloat16.
    """

    model: str
    views: int
    top1: float
    top5: float
    margin: float
    largest: float
    mean: float
    images_per_s: tuple[float, float]
    ratios: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios."""
        return statistics.median(self.ratios)


def measure() -> Iterator[Row]:
    """A row for each model with real weights at hand, answered by the embedded server in both profiles."""
    for model in (row for row in zoo.MODELS.values() if row.sample):
        with tempfile.TemporaryDirectory(prefix="tritonclas-bench-") as folder, ExitStack() as stack:
            populate(model, "sample", Path(folder))
            servers = [stack.enter_context(_served(model.name, folder, profile)) for profile in (None, OPENVINO.name)]
            exact, fast = (
                stack.enter_context(Classifier(server.url, model.name, preprocess="none")) for server in servers
            )
            yield _measured(model, exact, fast)


def compared() -> Iterator[Table]:
    """The same as a table; nothing where the CPU has no bfloat16."""
    if lacking(cpu_flags()) is None:
        rows = tuple(map(_cells, measure()))
        yield Table("Answers in bfloat16 beside float32, real weights", _COLUMNS, rows, _NOTE)


def _cells(row: Row) -> tuple[str, ...]:
    speed = f"{row.ratio:.2f} ({min(row.ratios):.2f} to {max(row.ratios):.2f})"
    shares = (f"{row.top1:.1%}", f"{row.margin:.3f}", f"{row.top5:.1%}")
    return (row.model, *shares, f"{row.largest:.3f}", f"{row.mean:.1e}", speed)


def _served(name: str, folder: str, profile: str | None) -> EmbeddedServer:
    return EmbeddedServer([name], Path(folder), profile=profile)


def _measured(model: zoo.Model, exact: Classifier, fast: Classifier) -> Row:
    pixels = views(model.crop)
    compared = compare(_answers(exact, pixels), _answers(fast, pixels))
    timed = pixels[:TIMED]
    fast_s, exact_s = Measure(ROUNDS, 1).seconds(lambda: _answers(fast, timed), lambda: _answers(exact, timed))
    images_per_s = tuple(len(timed) / statistics.median(seconds) for seconds in (exact_s, fast_s))
    ratios = tuple(slow / quick for slow, quick in zip(exact_s, fast_s, strict=True))
    return Row(model.name, len(pixels), *compared, (images_per_s[0], images_per_s[1]), ratios)


def _answers(client: Classifier, pixels: Sequence[Pixels]) -> Rows:
    return np.concatenate([client.probabilities(pixels[at : at + BATCH]) for at in range(0, len(pixels), BATCH)])


def views(side: int) -> list[Pixels]:
    """Random crops of the photographs, half of them mirrored, uint8 [side, side, 3], RGB; always the same ones."""
    chance = np.random.default_rng(0)
    photographs = [np.asarray(Image.open(path).convert("RGB")) for path in PICTURES]
    return [_view(photograph, side, chance) for _ in range(VIEWS_OF_EACH) for photograph in photographs]


def _view(photograph: Pixels, side: int, chance: np.random.Generator) -> Pixels:
    height, width = photograph.shape[:2]
    area, shape = chance.uniform(_LEAST_AREA, 1), np.exp(chance.uniform(-np.log(_LONGEST), np.log(_LONGEST)))
    rows = int(min(height, np.sqrt(height * width * area / shape)))
    columns = int(min(width, np.sqrt(height * width * area * shape)))
    top, left = (int(chance.integers(0, rest + 1)) for rest in (height - rows, width - columns))
    view = cv2.resize(photograph[top : top + rows, left : left + columns], (side, side), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(view[:, ::-1] if chance.random() < 0.5 else view)


def compare(exact: Rows, found: Rows) -> tuple[float, float, float, float, float]:
    """A row's `top1`, `top5`, `margin`, `largest` and `mean`, of probabilities [N, classes] of the same pictures."""
    ranked, answered = (np.argsort(-rows, axis=1, kind="stable")[:, :5] for rows in (exact, found))
    same = ranked[:, 0] == answered[:, 0]
    five = (np.sort(ranked) == np.sort(answered)).all(axis=1)
    likeliest = np.take_along_axis(exact, ranked[:, :2], axis=1)
    margin = float(np.max((likeliest[:, 0] - likeliest[:, 1])[~same], initial=0))
    difference = np.abs(exact - found)
    return float(same.mean()), float(five.mean()), margin, float(difference.max()), float(difference.mean())


def cells(row: Row) -> tuple[str, ...]:
    """A row as text."""
    return (
        row.model,
        f"{row.views} views",
        f"top-1 the same {row.top1:.1%} (else within {row.margin:.3f})",
        f"top-5 {row.top5:.1%}",
        f"probabilities differ by {row.largest:.3f} at most, {row.mean:.1e} on average",
        f"{row.images_per_s[0]:.0f} images/s in float32, {row.images_per_s[1]:.0f} in bfloat16",
        f"{row.ratio:.2f} times ({min(row.ratios):.2f} to {max(row.ratios):.2f})",
    )


@click.command(epilog=example("python -m bench.agreement"))
def main() -> None:
    """Compare the profile cpu-bf16 with the default one, on the models with real weights."""
    rows = measure()
    while True:
        with progress_console.status("measuring"):
            row = next(rows, None)
        if row is None:
            return
        click.echo(" · ".join(cells(row)))


if __name__ == "__main__":
    main()
