"""Pictures to measure with: a photograph in any size, and noise."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from scripts.photographs import EXAMPLES

_QUALITY = 90


def photograph(width: int, height: int) -> bytes:
    """A photograph as JPEG; one of 500x375 has about 43 kB."""
    picture = cv2.imread(str(EXAMPLES / "cat.jpg"))
    resized = cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC)
    return cv2.imencode(".jpg", resized, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()


def noise(side: int) -> NDArray[np.uint8]:
    """Random pixels, uint8 [side, side, 3]."""
    return np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
