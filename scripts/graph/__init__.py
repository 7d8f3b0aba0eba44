"""The passes that turn paddle2onnx's graph into the one that is served, in order."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import onnx

from scripts.graph.batchnorm import fold_batchnorm
from scripts.graph.constants import inline_constants
from scripts.graph.edit import Store
from scripts.graph.front import accept_pixels
from scripts.graph.padding import merge_same_padding
from scripts.graph.softmax import append_softmax
from tritonclas.served import Served

Pass = Callable[[onnx.ModelProto], int | None]


def passes(row: Served, store: Store) -> tuple[Pass, ...]:
    """The passes for the row's network; each changes the model in place, and keeps weights that it makes in `store`.

    The padding comes before the batch normalisation, which folds only into what stands right before it.
    """
    return (
        inline_constants,
        append_softmax,
        merge_same_padding,
        partial(fold_batchnorm, store=store),
        partial(accept_pixels, row=row),
    )
