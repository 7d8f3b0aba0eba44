"""inference.yml, in which newer PaddleClas exports say how their pictures are prepared and what their classes are."""

from __future__ import annotations

import ast
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import yaml

from scripts.class_names import class_names
from scripts.errors import ArchiveError
from tritonclas.served import Interpolation, Triple

FILE = "inference.yml"
MOST_BYTES = 2**20

#: Names and numbers (cv2's) of the interpolations; PaddleClas's ResizeImage without one is linear.
_INTERPOLATIONS: Mapping[object, Interpolation] = {
    None: "linear",
    "bilinear": "linear",
    "bicubic": "cubic",
    1: "linear",
    2: "cubic",
}


@dataclass(frozen=True)
class Preparation:
    """How pictures are prepared, as far as somebody says; None where nothing is said.

    Sizes are pixels, means and deviations those of pixels in 0..1.
    """

    resize_short: int | None = None
    crop: int | None = None
    interpolation: Interpolation | None = None
    mean: Triple | None = None
    std: Triple | None = None


@dataclass(frozen=True)
class Described:
    """What an inference.yml says."""

    preparation: Preparation = field(default_factory=Preparation)
    labels: tuple[str, ...] | None = None


def read_description(folder: Path) -> Described:
    """What the archive in `folder` says of itself, nothing if it has no inference.yml.

    ArchiveError if it is damaged, or asks for what the preprocessing can't do.
    """
    path = folder / FILE
    if not path.is_file():
        return Described()
    try:
        with path.open("rb") as file:
            content = yaml.safe_load(file.read(MOST_BYTES))
        steps = {name: step or {} for each in content["PreProcess"]["transform_ops"] for name, step in each.items()}
        preparation = Preparation(
            **_resized(steps.get("ResizeImage", {})),
            crop=_side(steps.get("CropImage", {}).get("size")),
            mean=_by_channel("mean", steps.get("NormalizeImage", {})),
            std=_by_channel("std", steps.get("NormalizeImage", {})),
        )
        return Described(preparation, _labels(content, path))
    except (yaml.YAMLError, LookupError, TypeError, AttributeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ArchiveError(
            f"{path} can't be used ({type(error).__name__}: {reason}); mend it, or take it away and give "
            "--labels, --crop, --resize-short, --interpolation, --mean and --std"
        ) from None


def _resized(step: Mapping[str, Any]) -> dict[str, Any]:
    if step and "resize_short" not in step:
        raise ValueError("ResizeImage has no resize_short: pictures that are squeezed aren't supported")
    if step.get("backend", "cv2") != "cv2":
        raise ValueError(f"ResizeImage has the backend {step['backend']!r}: only cv2's pixels can be made")
    wanted = step.get("interpolation")
    if step and wanted not in _INTERPOLATIONS:
        raise ValueError(f"ResizeImage has the interpolation {wanted!r}: only bilinear and bicubic are supported")
    return {"resize_short": step.get("resize_short"), "interpolation": _INTERPOLATIONS[wanted] if step else None}


def _side(size: int | list[int] | None) -> int | None:
    if isinstance(size, list):
        if len(set(size)) != 1:
            raise ValueError(f"CropImage has the size {size}: only squares are supported")
        return size[0]
    return size


def _by_channel(key: str, step: Mapping[str, Any]) -> Triple | None:
    scale = step.get("scale")
    if scale is not None and abs(_number(scale) - 1 / 255) > 1e-9:
        raise ValueError(f"NormalizeImage has the scale {scale}: only 1/255 is supported")
    if key not in step:
        return None
    red, green, blue = map(float, step[key])
    return red, green, blue


def _number(scale: object) -> float:
    """A number, also where PaddleClas writes it as the text 1.0/255.0."""
    if not isinstance(scale, str):
        return float(cast(float, scale))
    expression = ast.parse(scale, mode="eval").body
    if isinstance(expression, ast.BinOp) and isinstance(expression.op, ast.Div):
        return float(operator.truediv(*(ast.literal_eval(each) for each in (expression.left, expression.right))))
    return float(scale)


def _labels(content: Mapping[str, Any], path: Path) -> tuple[str, ...] | None:
    steps = content.get("PostProcess") or {}
    found = next((step["label_list"] for step in steps.values() if step and step.get("label_list")), None)
    return None if found is None else class_names([str(name).strip() for name in found], f"{path}'s label_list")
