"""What an ONNX file of ours says of itself: whose weights it holds, and how it wants to be served."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from scripts.archive import Archive, WeightsKind, generated
from scripts.protobuf import fields, mapped, message, text
from tritonclas import zoo
from tritonclas.served import Served

#: Stands in every file: raise it when an archive's export changes, so that published files are made again.
EXPORT_VERSION = "2"

#: Field numbers of onnx.proto: ModelProto.metadata_props, StringStringEntryProto.key and .value.
_METADATA, _KEY, _VALUE = 14, 1, 2


@dataclass(frozen=True)
class Origin:
    """The weights of a file and the model that it was exported as; `parameters_sha256` is that of the archive's."""

    model: Served
    kind: WeightsKind
    source: str
    parameters_sha256: str

    def is_current(self, row: zoo.Model, weights: str) -> bool:
        """Whether asking for such weights again would give the same; never known of a path without reading it."""
        if self.model != served(row) or self.kind != weights:
            return False
        if weights in ("sample", "synthetic"):
            return self.source == generated(row, cast(Any, weights))
        return weights == "official"

    @classmethod
    def of(cls, archive: Archive, model: Served) -> Origin:
        """What a file made of this archive says."""
        return cls(served(model), archive.kind, archive.source, archive.parameters_sha256)

    def properties(self) -> dict[str, str]:
        """The file's metadata."""
        return {
            "export_version": EXPORT_VERSION,
            "weights": self.kind,
            "source": self.source,
            "parameters_sha256": self.parameters_sha256,
            "model": json.dumps(asdict(self.model)),
        }

    @classmethod
    def read(cls, published: Path) -> Origin | None:
        """What a published file says; None if there is none, it is damaged, or another version of the export's."""
        properties = metadata(published)
        if properties.get("export_version") != EXPORT_VERSION:
            return None
        try:
            model = json.loads(properties["model"])
            model |= {"mean": tuple(model["mean"]), "std": tuple(model["std"])}
            kind = cast(WeightsKind, properties["weights"])
            return cls(Served(**model), kind, properties["source"], properties["parameters_sha256"])
        except (ValueError, LookupError, TypeError):
            return None


def is_exported(path: Path) -> bool:
    """Whether an ONNX file was exported by this project, by any version of it."""
    return "export_version" in metadata(path)


def served(model: Served) -> Served:
    """What of a row of the zoo concerns serving alone."""
    return Served(**{field.name: getattr(model, field.name) for field in dataclasses.fields(Served)})


def metadata(path: Path) -> Mapping[str, str]:
    """The metadata of an ONNX file, whose weights aren't read; empty if there is no file, or none that can be read."""
    try:
        entries = [dict(fields(message(value))) for number, value in fields(mapped(path)) if number == _METADATA]
        return {text(entry[_KEY]): text(entry[_VALUE]) for entry in entries}
    except (OSError, ValueError, LookupError):
        return {}
