"""What all of them do, with equal care: the project's own decoding, and the published network in ONNX Runtime."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.inprocess import session
from bench.strategies import Strategy
from tritonclas import zoo
from tritonclas.preprocess import Preprocessing

#: Where this variable is set, the network has the CPU backend's graph.
REWRITTEN = "TRITONCLAS_BENCH_REWRITTEN"


class Pipeline:
    """An encoded picture to probabilities, on one core. One session of one thread for each core is the fastest."""

    def __init__(self, name: str, network: Path) -> None:
        cv2.setNumThreads(1)
        model = zoo.find(name)
        self._preprocessing = Preprocessing(model.resize_short, model.crop, model.interpolation)
        rewritten = bool(os.environ.get(REWRITTEN))
        self._session = session(network, Strategy(workers=1, threads=1, rewritten=rewritten))

    def __call__(self, encoded: bytes) -> NDArray[np.float32]:
        """Float32 `[classes]`."""
        (rows,) = self._session.run(["probabilities"], {"pixels": self._preprocessing(encoded)[None]})
        return rows[0]  # type: ignore[no-any-return]
