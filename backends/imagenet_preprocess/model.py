"""Triton backend: encoded pictures to RGB crops, PaddleClas's preprocessing for every model.

Its configuration gives `resize_short`, `crop` and `interpolation` as parameters, and may give
`max_pixels`, the largest picture that is decoded. A request with a picture that can't be preprocessed
is answered with INVALID_ARGUMENT naming each such picture; the other requests of the batch go on.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import triton_python_backend_utils as pb_utils
from side_by_side import SideBySide

from tritonclas.preprocess import BadImage, Preprocessing, describe_rejections

cv2.setNumThreads(1)  # every core is kept busy already, with a picture each
_PICTURES = SideBySide("picture")


class TritonPythonModel:
    """One instance; those in one process share its threads, one for each core."""

    #: Inside tritonserver, no request is begun while a network has more in hand than it may compute at once (turns.h).
    GIVES_WAY = True

    def initialize(self, args: dict[str, str]) -> None:
        config = json.loads(args["model_config"])
        parameters = {key: parameter["string_value"] for key, parameter in config["parameters"].items()}
        self._preprocess = Preprocessing.from_parameters(parameters)

    def execute(self, requests: list[Any]) -> list[Any]:
        pictures = [_pictures(request) for request in requests]
        crops = iter(_PICTURES.map(self._crop, [picture for each in pictures for picture in each]))
        return [_answer([next(crops) for _ in each]) for each in pictures]

    def _crop(self, picture: bytes) -> Any:
        """Its crop, or why there is none."""
        try:
            return self._preprocess(picture)
        except BadImage as error:
            return error


def _pictures(request: Any) -> list[bytes]:
    return [bytes(picture) for picture in pb_utils.get_input_tensor_by_name(request, "image").as_numpy().ravel()]


def _answer(crops: Sequence[Any]) -> Any:
    rejected = {index: str(crop) for index, crop in enumerate(crops) if isinstance(crop, BadImage)}
    if rejected:
        error = pb_utils.TritonError(describe_rejections(rejected), pb_utils.TritonError.INVALID_ARG)
        return pb_utils.InferenceResponse(error=error)
    pixels = crops[0][np.newaxis] if len(crops) == 1 else np.stack(crops)
    return pb_utils.InferenceResponse([pb_utils.Tensor("pixels", pixels)])
