"""The passes that turn paddle2onnx's graph into the one that is served, in order."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import onnx

from scripts.graph.batchnorm import fold_batchnorm
from scripts.graph.constants import inline_constants
from scripts.graph.front import accept_pixels
from scripts.graph.padding import merge_same_padding
from scripts.graph.softmax import append_softmax
from tritonclas.zoo import Model

Pass = Callable[[onnx.ModelProto], int | None]


def passes(row: Model) -> tuple[Pass, ...]:
    """The passes for the row's network; each changes the model in place.

    The padding comes before the batch normalisation, which folds only into what stands right before it.
    """
    return (
        inline_constants,
        append_softmax,
        merge_same_padding,
        fold_batchnorm,
        partial(accept_pixels, row=row),
    )
