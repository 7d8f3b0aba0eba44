"""The tables that PaddleClas publishes, and ImageNet's class names: data files beside this module."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType


@dataclass(frozen=True)
class Published:
    """A row of the table that PaddleClas publishes. Accuracies are fractions on ImageNet-1k's validation set.

    `gflops` and `parameters_m` are the table's own values. They divide grouped convolutions by their
    groups twice, so they are too small; `zoo.Model.gflops` and `.parameters` are the true ones.
    """

    top1: float
    top5: float
    reference_top1: float | None
    reference_top5: float | None
    gflops: float
    parameters_m: float


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
            for row in _rows("published_models.csv")
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
            for row in _rows("published_latency.csv")
        }
    )


@cache
def imagenet_labels() -> tuple[str, ...]:
    """ImageNet-1k's 1000 class names in index order, as PaddleClas orders them."""
    return tuple(_lines("imagenet1k_labels.txt"))


def _rows(filename: str) -> list[dict[str, str]]:
    return list(csv.DictReader(_lines(filename)))


def _lines(filename: str) -> list[str]:
    return (resources.files("tritonclas") / "data" / filename).read_text(encoding="utf-8").splitlines()
