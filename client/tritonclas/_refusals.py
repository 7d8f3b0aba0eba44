"""What isn't an image, and how to make one of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

#: Modules whose arrays must be brought to numpy first, and how that is written.
_TENSORS: Final = {
    "torch": "tensor.cpu().numpy()",
    "paddle": "tensor.numpy()",
    "tensorflow": "tensor.numpy()",
    "jax": "numpy.asarray(array)",
    "jaxlib": "numpy.asarray(array)",
    "cupy": "array.get()",
}


def refusal(source: object) -> str:
    """Why that can't be classified, and what to give instead."""
    if array := _as_array(source):
        return f"a {_kind(source)} isn't an image; give {array}"
    return (
        f"a {_kind(source)} isn't an image; give a path, encoded bytes, "
        "a binary file, a PIL.Image or a uint8 array [height, width, 3]"
    )


def refusal_as_crop(source: object, side: int) -> str:
    """Why that isn't a crop of `side` pixels a side that is sent as it is, and what to give instead."""
    wanted = f"preprocess='none' takes uint8 [{side}, {side}, 3]"
    if isinstance(source, np.ndarray):
        advice = _advice(str(source.dtype), source.shape) if all(source.shape) else ""
        return f"the array is {source.dtype} {list(source.shape)}; {wanted}{advice}"
    if array := _as_array(source):
        return f"a {_kind(source)} isn't an array; {wanted}: {array}"
    return f"a {_kind(source)} isn't an array; {wanted}, and 'client' or 'server' what isn't cropped yet"


def refusal_of_array(dtype: Any, shape: Sequence[int]) -> str:
    """Why an array of that kind can't be classified, and how to make it one that can."""
    advice = _advice(str(dtype), tuple(shape)) if all(shape) else ""
    return f"the array is {dtype} {list(shape)}; it must be uint8 [height, width, 3], RGB in 0..255{advice}"


def _kind(source: object) -> str:
    return f"{type(source).__module__}.{type(source).__qualname__}"


def _as_array(source: object) -> str | None:
    """How an array is made of another library's tensor; None if it isn't one."""
    way, shape = _TENSORS.get(type(source).__module__.partition(".")[0]), getattr(source, "shape", None)
    if way is None or shape is None:
        return None
    return way + _advice(str(getattr(source, "dtype", None)).rpartition(".")[2], tuple(shape))


def _advice(dtype: str, shape: tuple[int, ...]) -> str:
    """What remains to be done to have uint8 [height, width, 3]."""
    steps = []
    if len(shape) == 4:
        return ": it is a batch; give its images one by one, to classify_many"
    if len(shape) == 3 and shape[2] not in (1, 3, 4) and shape[0] in (1, 3, 4):
        steps.append(".transpose(1, 2, 0), channels last")
        shape = (*shape[1:], shape[0])
    if len(shape) == 2:
        steps.append("[..., None].repeat(3, 2), grey as RGB")
    elif len(shape) == 3 and shape[2] == 4:
        steps.append("[..., :3], without alpha")
    elif len(shape) == 3 and shape[2] == 1:
        steps.append(".repeat(3, 2), grey as RGB")
    if "float" in dtype:
        steps.append("(pixels * 255).round().astype('uint8') if it is in 0..1; the network normalises, don't")
    elif dtype != "uint8":
        steps.append("scaled to 0..255, .astype('uint8')")
    return ": " + "; ".join(steps) if steps else ""
