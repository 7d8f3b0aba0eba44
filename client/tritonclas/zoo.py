"""The table of models: a row each, and everything else in the project is driven by it."""

from __future__ import annotations

import csv
import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Literal

Interpolation = Literal["cubic", "linear"]
Precision = Literal["fp16", "fp32"]
Triple = tuple[float, float, float]

#: Where PaddleClas publishes its inference archives (the model library in PaddleClas's documentation).
OFFICIAL_ARCHIVES = "https://paddle-imagenet-models-name.bj.bcebos.com/dygraph/inference"

#: PaddleClas's NormalizeImage: mean and standard deviation of ImageNet's RGB channels, pixels in 0..1.
IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True)
class EfficientNet:
    """An EfficientNet's scaling coefficients (Tan & Le 2019, arXiv 1905.11946, compound scaling).

    `padding` is PaddleClas's `padding_type`: TensorFlow's SAME, or DYNAMIC, which pads both sides alike.
    """

    width: float
    depth: float
    squeeze_excitation: bool = True
    activation: Literal["swish", "relu6"] = "swish"
    padding: Literal["SAME", "DYNAMIC"] = "SAME"


@dataclass(frozen=True, kw_only=True)
class ResNeXt:
    """A ResNeXt's shape (Xie et al. 2017, arXiv 1611.05431): `cardinality` groups of `group_width` channels."""

    depth: int = 101
    cardinality: int = 32
    group_width: int


@dataclass(frozen=True)
class Published:
    """A row of the table that PaddleClas publishes. Accuracies are fractions on ImageNet-1k's validation set.

    `gflops` and `parameters_m` are the table's own values. They divide grouped convolutions by their
    groups twice, so they are too small; `Model.gflops` and `Model.parameters` are the true ones.
    """

    top1: float
    top5: float
    reference_top1: float | None
    reference_top5: float | None
    gflops: float
    parameters_m: float


@dataclass(frozen=True, kw_only=True)
class Model:
    """One classifier.

    Sizes are pixels. `mean` and `std` are those of pixels scaled to 0..1. `parameters` counts the
    trainable ones; `gflops` is 2 x multiply-accumulates of one image at `crop`, in 10^9.
    """

    name: str
    network: EfficientNet | ResNeXt
    crop: int
    resize_short: int
    interpolation: Interpolation
    parameters: int
    gflops: float
    max_batch_size: int
    classes: int = 1000
    mean: Triple = IMAGENET_MEAN
    std: Triple = IMAGENET_STD
    #: PaddleClas publishes an archive of it; otherwise it comes as `sample` weights.
    official: bool = True

    @property
    def network_name(self) -> str:
        """Name of the network alone, as Triton serves it."""
        return f"{self.name}_net"

    @property
    def preprocess_name(self) -> str:
        """Name of the preprocessing model, shared by all models with the same three values."""
        return f"preprocess_{self.resize_short}_{self.crop}_{self.interpolation}"

    @property
    def archive_url(self) -> str | None:
        """URL of PaddleClas's inference archive; None for the sample model, which PaddleClas doesn't have."""
        return f"{OFFICIAL_ARCHIVES}/{self.name}_infer.tar" if self.official else None

    @property
    def published(self) -> Published | None:
        """The row of PaddleClas's published table; None for the sample model."""
        return published_models().get(self.name)


@dataclass(frozen=True)
class Profile:
    """A TensorRT profile: `--model-config-name=<name>` makes Triton read `configs/<name>.pbtxt`."""

    name: str
    gpu: Literal["T4", "V100"]
    precision: Precision

    @property
    def plan(self) -> str:
        """File name of the TensorRT plan in a version folder."""
        return f"{self.name}.plan"


PROFILES: tuple[Profile, ...] = (
    Profile("t4-fp16", "T4", "fp16"),
    Profile("t4-fp32", "T4", "fp32"),
    Profile("v100-fp32", "V100", "fp32"),
    Profile("v100-fp16", "V100", "fp16"),
)

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
    # TensorFlow's EfficientNet-Lite0, the one with real weights on a package index.
    replace(
        _B0,
        name="EfficientNetLite0",
        network=EfficientNet(width=1.0, depth=1.0, squeeze_excitation=False, activation="relu6"),
        parameters=4_652_008,
        mean=(127 / 255, 127 / 255, 127 / 255),
        std=(128 / 255, 128 / 255, 128 / 255),
        official=False,
    ),
)


def by_name(rows: tuple[Model, ...]) -> Mapping[str, Model]:
    """The rows by their names, in order; ValueError on a name that stands twice."""
    table: dict[str, Model] = {}
    for row in rows:
        if row.name in table:
            raise ValueError(f"the zoo has two rows named {row.name}")
        table[row.name] = row
    return MappingProxyType(table)


#: All models in the published table's order, then the sample.
MODELS: Mapping[str, Model] = by_name(_ROWS)


def is_part(name: str) -> bool:
    """True for the name of what ensembles consist of: a network alone, or a preprocessing model."""
    return name.endswith("_net") or name.startswith("preprocess_")


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


def _data_lines(filename: str) -> list[str]:
    return (resources.files("tritonclas") / "data" / filename).read_text(encoding="utf-8").splitlines()


def _data_rows(filename: str) -> list[dict[str, str]]:
    return list(csv.DictReader(_data_lines(filename)))


@cache
def published_models() -> Mapping[str, Published]:
    """PaddleClas's published table of accuracies and sizes, by model name."""

    def number(text: str) -> float | None:
        return float(text) if text else None

    return MappingProxyType(
        {
            row["model"]: Published(
                top1=float(row["top1"]),
                top5=float(row["top5"]),
                reference_top1=number(row["reference_top1"]),
                reference_top5=number(row["reference_top5"]),
                gflops=float(row["flops_g"]),
                parameters_m=float(row["params_m"]),
            )
            for row in _data_rows("published_models.csv")
        }
    )


@cache
def published_latencies() -> Mapping[tuple[str, str, str, int], float | None]:
    """PaddleClas's published latencies in ms by (model, gpu, precision, batch size); None where it has a dash."""
    return MappingProxyType(
        {
            (row["model"], row["gpu"], row["precision"], int(row["batch_size"])): (
                float(row["latency_ms"]) if row["latency_ms"] else None
            )
            for row in _data_rows("published_latency.csv")
        }
    )


@cache
def imagenet_labels() -> tuple[str, ...]:
    """ImageNet-1k's 1000 class names in index order, as PaddleClas orders them."""
    return tuple(_data_lines("imagenet1k_labels.txt"))
