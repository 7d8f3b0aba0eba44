"""The ONNX files that the project publishes beside those that paddle2onnx writes, in ONNX Runtime on one core."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from bench import naive, raw_export
from bench.comparison import Comparison, Measure
from bench.inprocess import has_squeeze_excitation, session
from bench.operators import Profile, in_common, profiles
from bench.pictures import photograph
from bench.strategies import Strategy
from bench.table import Table
from scripts.export import convert, export
from scripts.fetch import fetch
from tritonclas import zoo
from tritonclas.preprocess import Preprocessing

#: What is hoped for: less time for the smallest network of squeeze-and-excitation, and nowhere more.
BOUNDS = {
    "EfficientNetB0": 0.92,
    "EfficientNetB1": 1.0,
    "EfficientNetB2": 1.0,
    "EfficientNetB3": 1.0,
    "EfficientNetB4": 1.0,
    "EfficientNetLite0": 1.0,
    "ResNeXt101_32x8d_wsl": 1.0,
}
ROUNDS = 15
ROUND_S = 0.15
#: Networks of random weights amplify rounding.
TOLERANCE = 2e-3


def compare() -> Iterator[Comparison | Table]:
    """One image at a time; both answer the same, which is checked first. Then what both have in common."""
    found = {}
    for name, bound in BOUNDS.items():
        with tempfile.TemporaryDirectory(prefix="tritonclas-bench-") as folder:
            compared, found[name] = _compared(zoo.find(name), bound, Path(folder))
        yield from compared
    yield in_common(found)


def _compared(model: zoo.Model, bound: float, folder: Path) -> tuple[list[Comparison], tuple[Profile, Profile]]:
    archive = fetch(model, "synthetic", folder)
    ours, theirs = folder / "ours.onnx", folder / "theirs.onnx"
    export(convert(archive, folder), model, ours)
    raw_export.write(archive, theirs)
    pixels = Preprocessing(model.resize_short, model.crop, model.interpolation)(photograph(500, 375))
    feeds = {ours: pixels[np.newaxis], theirs: naive.normalised(model, pixels)}
    run, run_raw = (_run(network, batch) for network, batch in feeds.items())
    expected = run_raw()
    np.testing.assert_allclose(run(), expected, atol=TOLERANCE)
    begin_s = time.perf_counter()
    run()
    run_s = time.perf_counter() - begin_s
    measure = Measure(ROUNDS, max(1, round(ROUND_S / run_s)))
    what = f"{model.name}, uint8 pixels to probabilities"
    other = "paddle2onnx's file, float32 pixels normalised beforehand"
    compared = [Comparison(what, other, *measure.seconds(run, run_raw), "most", bound)]
    if has_squeeze_excitation(model):
        run_rewritten = _run(ours, feeds[ours], rewritten=True)
        np.testing.assert_allclose(run_rewritten(), expected, atol=TOLERANCE)
        taken = measure.seconds(run_rewritten, run_raw)
        compared.append(Comparison(f"{what}, as the CPU backend runs the file", other, *taken, "most", 0.0))
    of_ours, of_theirs = profiles(feeds, run_s)
    return compared, (of_ours, of_theirs)


def _run(network: Path, batch: naive.Array, *, rewritten: bool = False) -> Callable[[], naive.Array]:
    made = session(network, Strategy(workers=1, threads=1, rewritten=rewritten))
    feed = {made.get_inputs()[0].name: batch}
    return lambda: made.run(None, feed)[0]
