"""Preprocessing on one core beside PaddleClas's own way with OpenCV, which also normalises on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np

from bench.comparison import Comparison, Measure
from bench.pictures import photograph
from tritonclas.preprocess import Preprocessing
from tritonclas.served import IMAGENET_MEAN, IMAGENET_STD

SIZES = {(500, 375): (Measure(15, 60), 2.0), (4000, 3000): (Measure(9, 4), 2.5)}

_MEAN = np.array(IMAGENET_MEAN, np.float32).reshape(1, 1, 3)
_STD = np.array(IMAGENET_STD, np.float32).reshape(1, 1, 3)


def compare() -> Iterator[Comparison]:
    """A usual picture, and one out of a camera; both ways have equal pixels, or nothing is measured."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        for (width, height), (measure, bound) in SIZES.items():
            content, ours = photograph(width, height), Preprocessing(256, 224, "cubic")
            np.testing.assert_array_equal(ours(content), paddleclas_crop(content))
            taken = measure.seconds(lambda: ours(content), lambda: paddleclas(content))  # noqa: B023
            name = f"preprocessing on one core, JPEG {width}x{height} to 224x224"
            yield Comparison(name, "PaddleClas's operators (OpenCV)", *taken, "least", bound)
    finally:
        cv2.setNumThreads(threads)


def paddleclas_crop(content: bytes) -> Any:
    """DecodeImage, ResizeImage and CropImage of PaddleClas's operators.py, with cubic interpolation."""
    picture = cv2.imdecode(np.frombuffer(content, np.uint8), 1)[:, :, ::-1]
    height, width = picture.shape[:2]
    percent = 256 / min(width, height)
    resized = cv2.resize(picture, (round(width * percent), round(height * percent)), interpolation=cv2.INTER_CUBIC)
    height, width = resized.shape[:2]
    left, top = (width - 224) // 2, (height - 224) // 2
    return resized[top : top + 224, left : left + 224]


def paddleclas(content: bytes) -> Any:
    """The same and NormalizeImage and ToCHWImage, up to what a float32 network is given."""
    crop = paddleclas_crop(content)
    return ((crop.astype(np.float32) * np.float32(1 / 255) - _MEAN) / _STD).transpose(2, 0, 1)
