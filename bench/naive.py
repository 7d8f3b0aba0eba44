"""Preprocessing as it is written first, with Pillow and numpy."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tritonclas.served import Served

Array = NDArray[Any]
_RESAMPLING = {"cubic": Image.Resampling.BICUBIC, "linear": Image.Resampling.BILINEAR}


def batch(model: Served, encoded: bytes) -> Array:
    """Float32 `[1, 3, crop, crop]`, normalised. Pillow's resizing averages pixels, so these aren't PaddleClas's."""
    picture = Image.open(io.BytesIO(encoded)).convert("RGB")
    scale = model.resize_short / min(picture.size)
    size = (round(picture.width * scale), round(picture.height * scale))
    resized = picture.resize(size, _RESAMPLING[model.interpolation])
    left, top = (size[0] - model.crop) // 2, (size[1] - model.crop) // 2
    crop = resized.crop((left, top, left + model.crop, top + model.crop))
    return normalised(model, np.asarray(crop))


def normalised(model: Served, pixels: Array) -> Array:
    """Pixels of a crop as a float32 network wants them, `[1, 3, crop, crop]`."""
    scaled = pixels.astype(np.float32) / 255
    normal = (scaled - np.array(model.mean, np.float32)) / np.array(model.std, np.float32)
    return np.ascontiguousarray(normal.transpose(2, 0, 1)[np.newaxis])
