"""Triton backend: encoded pictures to RGB crops, PaddleClas's preprocessing for every model.

Its configuration gives `resize_short`, `crop` and `interpolation` as parameters, and may give
`max_pixels`, the largest picture that is decoded. A request with a picture that can't be preprocessed
is answered with INVALID_ARGUMENT naming each such picture; the other requests of the batch go on.
"""

from __future__ import annotations

import json
import os
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
import triton_python_backend_utils as pb_utils

from tritonclas.preprocess import BadImage, Preprocessing, describe_rejections


class TritonPythonModel:
    """One instance; pictures are decoded on its share of the machine's cores."""

    def initialize(self, args: dict[str, str]) -> None:
        config = json.loads(args["model_config"])
        parameters = {key: parameter["string_value"] for key, parameter in config["parameters"].items()}
        self._preprocess = Preprocessing.from_parameters(parameters)
        cv2.setNumThreads(1)  # the pool below already keeps every core busy, a picture each
        self._pool = ThreadPoolExecutor(_threads(config["instance_group"]))

    def execute(self, requests: list[Any]) -> list[Any]:
        started = [[self._pool.submit(self._preprocess, image) for image in _images(request)] for request in requests]
        return [_answer(crops) for crops in started]

    def finalize(self) -> None:
        self._pool.shutdown()


def _threads(instance_groups: list[dict[str, Any]]) -> int:
    """An equal share of the cores that this process may use for each instance, at least one."""
    instances: int = sum(group["count"] for group in instance_groups)
    return max(1, len(os.sched_getaffinity(0)) // instances)


def _images(request: Any) -> list[bytes]:
    return [bytes(image) for image in pb_utils.get_input_tensor_by_name(request, "image").as_numpy().ravel()]


def _answer(crops: list[Future[Any]]) -> Any:
    pixels, rejected = [], {}
    for index, crop in enumerate(crops):
        try:
            pixels.append(crop.result())
        except BadImage as error:
            rejected[index] = str(error)
    if rejected:
        message = describe_rejections(rejected)
        return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, pb_utils.TritonError.INVALID_ARG))
    return pb_utils.InferenceResponse([pb_utils.Tensor("pixels", np.stack(pixels))])
