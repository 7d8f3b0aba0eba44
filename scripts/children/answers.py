"""Paddle's own inference: what an archive answers, as the peer that the ONNX file is compared with."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import paddle
from numpy.typing import NDArray
from paddle import inference

#: oneDNN keeps a second, reordered copy of the weights. On two cores it is 2.5 times as fast with EfficientNetB7
#: (265 MB), but with ResNeXt101_32x8d (355 MB) making the copy takes as long as it saves on a dozen pictures.
_LARGEST_TWICE_IN_MEMORY = 300 * 10**6


def main(program: Path, parameters: Path, questions: Path, answers: Path) -> None:
    """Answers every batch of `questions` (.npz: uint8 [N, crop, crop, 3] each, and `mean` and `std`) in `answers`."""
    predictor = _predictor(program, parameters)
    with np.load(questions) as asked:
        mean, std = asked["mean"], asked["std"]
        batches = [name for name in asked.files if name not in ("mean", "std")]
        found = {name: _answer(predictor, normalised(asked[name], mean, std)) for name in batches}
    np.savez(answers, **found)


def normalised(pixels: NDArray[np.uint8], mean: NDArray[np.float32], std: NDArray[np.float32]) -> NDArray[np.float32]:
    """PaddleClas's NormalizeImage and ToCHWImage, in its own float32 arithmetic."""
    normal = (pixels.astype(np.float32) * np.float32(1 / 255) - mean) / std
    return np.ascontiguousarray(normal.transpose(0, 3, 1, 2))


def _predictor(program: Path, parameters: Path) -> inference.Predictor:
    config = inference.Config(str(program), str(parameters))
    config.disable_gpu()
    config.disable_glog_info()
    config.set_cpu_math_library_num_threads(os.cpu_count() or 1)
    if parameters.stat().st_size > _LARGEST_TWICE_IN_MEMORY:
        config.disable_mkldnn()
    return inference.create_predictor(config)


def _answer(predictor: inference.Predictor, pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    (answer,) = predictor.run([paddle.to_tensor(pictures)])
    rows: NDArray[np.float32] = answer.numpy()
    return rows
