"""The reference: the same pictures decoded and run in one Python process on all cores, with no server in between.

    python -m bench.inprocess images|crops|pillow NAME NETWORK WIDTH HEIGHT

is given a question a line, a strategy and for how long as JSON, and answers the pace of its batches; without a duration
it answers the probabilities of one image. `InProcess` asks. `images` decodes with the project's own preprocessing,
`crops` has the pixels ready, `pillow` is the pipeline that is written first.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import cv2
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from bench import naive, strategies
from bench.pacing import Duration, Pace, Work, pace
from bench.pictures import photograph
from bench.rows import SIZE
from bench.strategies import Strategy
from scripts.embedded import BACKENDS
from tritonclas import zoo
from tritonclas.preprocess import Preprocessing

sys.path.append(str(BACKENDS / "onnxruntime"))  # as Triton has it
import optimised

Array = NDArray[Any]
_ERROR = 3  # it warns of every initializer that paddle2onnx leaves unused
#: How a strategy's batches are made.
Feed = Callable[[Strategy], Callable[[], Array]]


def session(network: Path, strategy: Strategy) -> Any:
    """A session of ONNX Runtime on the CPU; with no threads given, of its own defaults."""
    options = ort.SessionOptions()
    options.log_severity_level = _ERROR
    if strategy.threads:
        options.intra_op_num_threads = strategy.threads
        options.add_session_config_entry("session.intra_op.allow_spinning", str(int(strategy.spinning)))
    if strategy.rewritten:
        return optimised.session(network, options, one_by_one=True)
    return ort.InferenceSession(str(network), options, providers=["CPUExecutionProvider"])


def has_squeeze_excitation(model: zoo.Model) -> bool:
    """Whether the CPU backend has something to rewrite."""
    return isinstance(model.network, zoo.EfficientNet) and model.network.squeeze_excitation


def workers(network: Path, feed: Feed, strategy: Strategy) -> list[Work]:
    """What each of a strategy's workers does again and again: make a batch and run it."""
    shared = None if strategy.own else session(network, strategy)
    return [_worker(shared or session(network, strategy), feed(strategy)) for _ in range(strategy.workers)]


def _worker(own: Any, batch: Callable[[], Array]) -> Work:
    name = own.get_inputs()[0].name
    return lambda: own.run(None, {name: batch()})[0]


def decoding(preprocessing: Preprocessing, encoded: bytes) -> Feed:
    """Pictures are decoded one after the other, or those of a batch on as many threads as the session has."""

    def feed(strategy: Strategy) -> Callable[[], Array]:
        if strategy.batch == 1:
            return lambda: preprocessing(encoded)[None]
        pixels = np.empty((strategy.batch, preprocessing.crop, preprocessing.crop, 3), np.uint8)
        pool = ThreadPoolExecutor(strategy.threads)

        def decode(place: int) -> None:
            pixels[place] = preprocessing(encoded)

        def batch() -> Array:
            for _ in (pool.map if strategy.threads > 1 else map)(decode, range(strategy.batch)):
                pass
            return pixels

        return batch

    return feed


def ready(pixels: Array) -> Feed:
    """Batches that are there already."""

    def feed(strategy: Strategy) -> Callable[[], Array]:
        batch = np.stack([pixels] * strategy.batch)
        return lambda: batch

    return feed


def feed_of(kind: str, model: zoo.Model, encoded: bytes) -> Feed:
    """How `images`, `crops` or `pillow` makes batches of a picture."""
    preprocessing = Preprocessing(model.resize_short, model.crop, model.interpolation)
    if kind == "pillow":
        return lambda strategy: lambda: naive.batch(model, encoded)
    return decoding(preprocessing, encoded) if kind == "images" else ready(preprocessing(encoded))


def main() -> None:
    """Answer questions until there are no more; the sessions of the last strategy are kept for the next question."""
    kind, name, network, width, height = sys.argv[1:]
    cv2.setNumThreads(1)
    feed = feed_of(kind, zoo.find(name), photograph(int(width), int(height)))
    _answer(sys.stdin, lambda strategy: workers(Path(network), feed, strategy))


def _answer(questions: Iterable[str], make: Callable[[Strategy], list[Work]]) -> None:
    made: list[Work] = []
    last = None
    for line in questions:
        question = json.loads(line)
        strategy = Strategy(**question["strategy"])
        if strategy != last:
            made.clear()  # before the next ones take memory
            made, last = make(strategy), strategy
            for work in made:
                work()
        if question["duration"]:
            answer: Any = asdict(pace(made, Duration(**question["duration"])))
        else:
            answer = np.asarray(made[0]())[0].tolist()
        print(json.dumps(answer), flush=True)


class InProcess:
    """The process that answers, from `with` to its end; `size` is the picture's."""

    def __init__(self, kind: str, model: zoo.Model, network: Path, size: tuple[int, int] = SIZE) -> None:
        self._model = model
        arguments = (kind, model.name, network, *size)
        self._command = [sys.executable, "-m", "bench.inprocess", *map(str, arguments)]

    def __enter__(self) -> InProcess:
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind:
            self._process.kill()
        self._process.communicate()

    def probabilities(self, strategy: Strategy) -> Array:
        """Of the image, `[classes]`."""
        return np.array(self._ask(strategy, None), np.float32)

    def pace(self, strategy: Strategy, duration: Duration) -> Pace:
        """The pace of its batches."""
        return Pace(**self._ask(strategy, duration))

    def image_s(self, strategy: Strategy, duration: Duration) -> float:
        """Seconds an image."""
        return 1 / (self.pace(strategy, duration).per_s * strategy.batch)

    def best(self, among: Sequence[Strategy], duration: Duration) -> Strategy:
        """The fastest strategy in a short trial of each, whosever graph it runs."""
        return self.references(among, duration)[0]

    def references(self, among: Sequence[Strategy], duration: Duration) -> list[Strategy]:
        """The fastest strategy; and that with ONNX Runtime's own graph, unless it is the same."""
        by_itself = self._best(among, duration)
        if not has_squeeze_excitation(self._model):
            return [by_itself]
        best = self._best([by_itself, self._best(strategies.rewritten(among), duration)], duration)
        return [best] if best == by_itself else [best, by_itself]

    def _best(self, among: Sequence[Strategy], duration: Duration) -> Strategy:
        return strategies.best(among, lambda strategy: self.image_s(strategy, duration))

    def _ask(self, strategy: Strategy, duration: Duration | None) -> Any:
        question = {"strategy": asdict(strategy), "duration": duration and asdict(duration)}
        _pipe(self._process.stdin).write(json.dumps(question) + "\n")
        _pipe(self._process.stdin).flush()
        if answer := _pipe(self._process.stdout).readline():
            return json.loads(answer)
        raise RuntimeError(f"{' '.join(self._command)} ended; its error is above")


def _pipe(stream: IO[str] | None) -> IO[str]:
    assert stream
    return stream


if __name__ == "__main__":
    main()
