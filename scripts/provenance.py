"""What a published ONNX file says of its origin, so that it need not be made again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import onnx
from google.protobuf.message import DecodeError

from scripts.archive import GENERATED, Archive, WeightsKind
from scripts.export import EXPORT_VERSION


@dataclass(frozen=True)
class Origin:
    """Where a model's weights come from; `parameters_sha256` is that of the archive's parameters."""

    kind: WeightsKind
    source: str
    parameters_sha256: str

    def is_current(self, weights: str) -> bool:
        """Whether asking for such weights again would give the same; never known of a path without reading it."""
        if weights == "official":
            return self.kind == "official"
        return (self.kind, self.source) == (weights, GENERATED.get(weights))

    @classmethod
    def of(cls, archive: Archive) -> Origin:
        """What a file made of this archive says."""
        return cls(archive.kind, archive.source, archive.parameters_sha256)

    @classmethod
    def read(cls, published: Path) -> Origin | None:
        """What a published file says; None if there is none, or another version of the export has made it."""
        properties = _properties(published)
        if properties.get("export_version") != EXPORT_VERSION:
            return None
        kind = cast(WeightsKind, properties["weights"])
        return cls(kind, properties["source"], properties["parameters_sha256"])


def _properties(path: Path) -> dict[str, str]:
    """The metadata of an ONNX file; empty if there is no file, or none that can be read."""
    try:
        model = onnx.load(path, load_external_data=False)
    except (OSError, DecodeError):
        return {}
    return {entry.key: entry.value for entry in model.metadata_props}
