"""What a published ONNX file says of its origin, and whether it need not be made again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import onnx
from google.protobuf.message import DecodeError

from scripts.archive import Archive, WeightsKind
from scripts.export import EXPORT_VERSION, sha256


@dataclass(frozen=True)
class Origin:
    """Where a model's weights come from."""

    kind: WeightsKind
    source: str


def reusable(published: Path, weights: str) -> Origin | None:
    """The published file's origin, if it was made from these weights by this version of the export; None if not."""
    properties = _properties(published)
    if properties.get("export_version") != EXPORT_VERSION:
        return None
    origin = Origin(cast(WeightsKind, properties.get("weights")), properties.get("source", ""))
    if origin.kind == "own":
        same = properties.get("parameters_sha256") == _own_sha256(weights)
    else:
        same = origin.kind == weights
    return origin if same else None


def _properties(path: Path) -> dict[str, str]:
    """The metadata of an ONNX file; empty if there is no file, or none that can be read."""
    try:
        model = onnx.load(path, load_external_data=False)
    except (OSError, DecodeError):
        return {}
    return {entry.key: entry.value for entry in model.metadata_props}


def _own_sha256(weights: str) -> str | None:
    if weights in ("official", "sample", "synthetic"):
        return None
    return sha256(Archive.open(Path(weights), "own", weights).parameters)
