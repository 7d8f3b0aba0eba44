"""inference.yml, in which newer PaddleClas exports say how their pictures are prepared and what their classes are."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
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
_MOST_STEPS = 20
#: What the preprocessing does, in its order; the first and the last may be left out, they are always so.
_STEPS = ("DecodeImage", "ResizeImage", "CropImage", "NormalizeImage", "ToCHWImage")
_NEEDED = _STEPS[1:-1]


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
        listed = [_step(each) for each in _few(content["PreProcess"]["transform_ops"])]
        _check_order([name for name, _ in listed])
        steps = dict(listed)
        if not steps.get("DecodeImage", {}).get("to_rgb", True):
            raise ValueError("DecodeImage has to_rgb: false: only models that take RGB are supported")
        preparation = Preparation(
            **_resized(steps["ResizeImage"]),
            crop=_side(steps["CropImage"]["size"]),
            mean=_by_channel("mean", steps["NormalizeImage"]),
            std=_by_channel("std", steps["NormalizeImage"]),
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
    content = path.read_bytes()
    if b"<<" in content:
        raise ValueError("it merges mappings (<<), which no export does, and which can grow without bounds")
    return content


def _shown(value: object) -> str:
    """A value in a message, shortened: a few aliases of aliases would print as gigabytes."""
    short = reprlib.Repr()
    short.maxlevel = 2
    return short.repr(value)


def _few(steps: list[Any]) -> list[Any]:
    if len(steps) > _MOST_STEPS:
        raise ValueError(f"transform_ops has {len(steps)} steps, which no export has")
    return steps


def _step(each: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Name and settings of a step of transform_ops."""
    if len(each) != 1:
        raise ValueError(f"transform_ops has a step of {len(each)} names instead of one")
    ((name, settings),) = each.items()
    return name, settings or {}


def _check_order(names: Sequence[str]) -> None:
    """ValueError unless these are the preprocessing's steps: one more, one less or another order is another picture."""
    if unknown := sorted(set(names) - set(_STEPS)):
        raise ValueError(f"transform_ops has {unknown[0]}: only {', '.join(_STEPS)} are supported")
    if missing := [name for name in _NEEDED if name not in names]:
        raise ValueError(f"transform_ops has no {missing[0]}: pictures that are prepared without aren't supported")
    if list(names) != [name for name in _STEPS if name in names]:
        raise ValueError(f"transform_ops has the steps {', '.join(names)}: only {', '.join(_STEPS)} is supported")


def _resized(step: Mapping[str, Any]) -> dict[str, Any]:
    if "resize_short" not in step:
        raise ValueError("ResizeImage has no resize_short: pictures that are squeezed aren't supported")
    if step.get("backend", "cv2") != "cv2":
        raise ValueError(f"ResizeImage has the backend {_shown(step['backend'])}: only cv2's pixels can be made")
    wanted = step.get("interpolation")
    if wanted not in _INTERPOLATIONS:
        raise ValueError(f"ResizeImage has the interpolation {_shown(wanted)}: only bilinear and bicubic are supported")
    short = _pixels("ResizeImage", step["resize_short"])
    return {"resize_short": short, "interpolation": _INTERPOLATIONS[wanted]}


def _side(size: object) -> int:
    if isinstance(size, list):
        if len(set(size)) != 1:
            raise ValueError(f"CropImage has the size {_shown(size)}: only squares are supported")
        return _pixels("CropImage", size[0])
    return _pixels("CropImage", size)


def _pixels(step: str, size: object) -> int:
    if isinstance(size, int) and not isinstance(size, bool) and size > 0:
        return size
    raise ValueError(f"{step} has the size {_shown(size)}: it must be a number of pixels")


def _by_channel(key: str, step: Mapping[str, Any]) -> Triple | None:
    scale = step.get("scale")
    if scale is not None and abs(_number(scale) - 1 / 255) > 1e-9:
        raise ValueError(f"NormalizeImage has the scale {_shown(scale)}: only 1/255 is supported")
    if key not in step:
        return None
    red, green, blue = map(float, step[key])
    return red, green, blue


def _number(scale: object) -> float:
    """A number, also where PaddleClas writes it as the text 1.0/255.0."""
    if not isinstance(scale, (str, int, float)):
        raise ValueError(f"NormalizeImage has the scale {_shown(scale)}: it must be a number")
    above, _, below = str(scale).partition("/")
    return float(above) / float(below or 1)


def _labels(content: Mapping[str, Any], path: Path) -> tuple[str, ...] | None:
    steps = content.get("PostProcess") or {}
    found = next((step["label_list"] for step in steps.values() if step and step.get("label_list")), None)
    return None if found is None else class_names([_name(name) for name in found], f"{path}'s label_list")


def _name(label: object) -> str:
    """A name as it stands in the file; ValueError if YAML takes it for something else, as it does `no` and `null`."""
    if isinstance(label, bool) or not isinstance(label, (str, int)):
        raise ValueError(f"label_list has {_shown(label)}, which YAML doesn't take for text: put it in quotes")
    return str(label).strip()
