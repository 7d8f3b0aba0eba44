"""inference.yml, in which newer PaddleClas exports say how their pictures are prepared and what their classes are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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


_UNUSABLE = (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RecursionError, OSError)
#: What the preprocessing does, or what needs no doing because it is always so.
_STEPS = frozenset({"DecodeImage", "ResizeImage", "CropImage", "NormalizeImage", "ToCHWImage"})


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
        content = yaml.safe_load(_read(path))
        steps = {name: step or {} for each in content["PreProcess"]["transform_ops"] for name, step in each.items()}
        _check_known(steps)
        preparation = Preparation(
            **_resized(steps.get("ResizeImage", {})),
            crop=_side(steps.get("CropImage", {}).get("size")),
            mean=_by_channel("mean", steps.get("NormalizeImage", {})),
            std=_by_channel("std", steps.get("NormalizeImage", {})),
        )
        return Described(preparation, _labels(content, path))
    except (yaml.YAMLError, *_UNUSABLE) as error:
        reason = " ".join(str(error).split())
        raise ArchiveError(
            f"{path} can't be used ({type(error).__name__}: {reason}); mend it, or take it away and give "
            "--labels, --crop, --resize-short, --interpolation, --mean and --std"
        ) from None


def _read(path: Path) -> bytes:
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES >> 20} MiB, which no export has")
    return path.read_bytes()


def _check_known(steps: Mapping[str, Mapping[str, Any]]) -> None:
    """ValueError if there is a step that would be left out silently."""
    if unknown := sorted(steps.keys() - _STEPS):
        raise ValueError(f"transform_ops has {unknown[0]}: only {', '.join(sorted(_STEPS))} are supported")
    if not steps.get("DecodeImage", {}).get("to_rgb", True):
        raise ValueError("DecodeImage has to_rgb: false: only models that take RGB are supported")


def _resized(step: Mapping[str, Any]) -> dict[str, Any]:
    if step and "resize_short" not in step:
        raise ValueError("ResizeImage has no resize_short: pictures that are squeezed aren't supported")
    if step.get("backend", "cv2") != "cv2":
        raise ValueError(f"ResizeImage has the backend {step['backend']!r}: only cv2's pixels can be made")
    wanted = step.get("interpolation")
    if step and wanted not in _INTERPOLATIONS:
        raise ValueError(f"ResizeImage has the interpolation {wanted!r}: only bilinear and bicubic are supported")
    short = _pixels("ResizeImage", step.get("resize_short"))
    return {"resize_short": short, "interpolation": _INTERPOLATIONS[wanted] if step else None}


def _side(size: object) -> int | None:
    if isinstance(size, list):
        if len(set(size)) != 1:
            raise ValueError(f"CropImage has the size {size}: only squares are supported")
        return _pixels("CropImage", size[0])
    return _pixels("CropImage", size)


def _pixels(step: str, size: object) -> int | None:
    if size is None or (isinstance(size, int) and not isinstance(size, bool) and size > 0):
        return size
    raise ValueError(f"{step} has the size {size!r}: it must be a number of pixels")


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
    above, _, below = str(scale).partition("/")
    return float(above) / float(below or 1)


def _labels(content: Mapping[str, Any], path: Path) -> tuple[str, ...] | None:
    steps = content.get("PostProcess") or {}
    found = next((step["label_list"] for step in steps.values() if step and step.get("label_list")), None)
    return None if found is None else class_names([_name(name) for name in found], f"{path}'s label_list")


def _name(label: object) -> str:
    """A name as it stands in the file; ValueError if YAML takes it for something else, as it does `no` and `null`."""
    if isinstance(label, bool) or not isinstance(label, (str, int)):
        raise ValueError(f"label_list has {label!r}, which YAML doesn't take for text: put it in quotes")
    return str(label).strip()
