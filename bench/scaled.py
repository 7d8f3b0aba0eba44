"""What scaled decoding of camera pictures costs in exactness, and what it brings in time."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.agreement import compare as differences
from bench.agreement import views
from bench.comparison import Comparison, Measure
from bench.pictures import photograph
from bench.table import Table
from scripts.embedded import EmbeddedServer
from scripts.pipeline import populate
from tritonclas import Classifier, zoo
from tritonclas.preprocess import Preprocessing

EXACT = Preprocessing(256, 224, "cubic")
#: Large enough for a quarter of the size; the photographs at hand are smaller, and are enlarged.
_SIDE = 2400
_VIEWS = 100
_BATCH = 10

_NOTE = f"""\
{_VIEWS} random crops of photographs, enlarged to {_SIDE}x{_SIDE} pixels since none so large is at hand: real ones have
finer detail. Real weights."""


def compare() -> Iterator[Comparison | Table]:
    """How much faster, and how different."""
    yield from _speed()
    yield _agreement()


def _speed() -> Iterator[Comparison]:
    """Decoding at a smaller size beside decoding all of it, on one core."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        scaled = replace(EXACT, scaled_decoding=True)
        for width, height in ((2000, 1500), (4000, 3000)):
            content = photograph(width, height)
            taken = Measure(9, 4).seconds(lambda: scaled(content), lambda: EXACT(content))  # noqa: B023
            yield Comparison(f"scaled decoding, JPEG {width}x{height}", "all of its pixels", *taken, "least", 0.0)
    finally:
        cv2.setNumThreads(threads)


def _agreement() -> Table:
    """How far answers are from those to exact pixels."""
    columns = ("model", "top-1 the same", "else margin at most", "top-5 the same", "largest difference", "mean")
    pictures = [_jpeg(view) for view in views(_SIDE)[:_VIEWS]]
    rows = tuple(_row(model, pictures) for model in zoo.MODELS.values() if model.sample)
    return Table("Scaled decoding beside exact pixels", columns, rows, _NOTE)


def _jpeg(pixels: NDArray[np.uint8]) -> bytes:
    return cv2.imencode(".jpg", pixels[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()


def _row(model: zoo.Model, pictures: list[bytes]) -> tuple[str, ...]:
    exact = Preprocessing(model.resize_short, model.crop, model.interpolation)
    ways = (exact, replace(exact, scaled_decoding=True))
    with tempfile.TemporaryDirectory(prefix="tritonclas-bench-") as folder:
        populate(model, "sample", Path(folder))
        with (
            EmbeddedServer([model.name], Path(folder)) as server,
            Classifier(server.url, model.name, preprocess="none") as classifier,
        ):
            answers = []
            for way in ways:
                crops = [way(picture) for picture in pictures]
                parts = [classifier.probabilities(crops[at : at + _BATCH]) for at in range(0, len(crops), _BATCH)]
                answers.append(np.concatenate(parts))
    top1, top5, margin, largest, mean = differences(*answers)
    return (model.name, f"{top1:.1%}", f"{margin:.3f}", f"{top5:.1%}", f"{largest:.3f}", f"{mean:.1e}")
