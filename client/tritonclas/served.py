"""What it takes to serve an image classifier, be it of the zoo or a user's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Interpolation = Literal["cubic", "linear"]
Triple = tuple[float, float, float]

#: PaddleClas's NormalizeImage: mean and standard deviation of ImageNet's RGB channels, pixels in 0..1.
IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)

#: The largest batch that any model may ask for: preprocessing models take it, whoever shares them.
LARGEST_BATCH = 32


@dataclass(frozen=True, kw_only=True)
class Served:
    """A classifier as Triton serves it. Sizes are pixels; `mean` and `std` are those of pixels scaled to 0..1."""

    name: str
    crop: int
    resize_short: int
    interpolation: Interpolation
    max_batch_size: int
    classes: int = 1000
    mean: Triple = IMAGENET_MEAN
    std: Triple = IMAGENET_STD

    @property
    def network_name(self) -> str:
        """Name of the network alone, as Triton serves it."""
        return f"{self.name}_net"

    @property
    def preprocess_name(self) -> str:
        """Name of the preprocessing model, shared by all models with the same three values."""
        return f"preprocess_{self.resize_short}_{self.crop}_{self.interpolation}"


def version_name(name: str, version: int | None) -> str:
    """Name of the ensemble that serves this version of a model; without a number the model's own, the one in service.

    All versions of an ensemble have one configuration in Triton, so that each version of a network needs an ensemble.
    """
    return name if version is None else f"{name}_v{version}"


def is_part(name: str) -> bool:
    """True for the name of what ensembles consist of: a network alone, or a preprocessing model."""
    return name.endswith("_net") or name.startswith("preprocess_")
