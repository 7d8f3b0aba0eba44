"""A Paddle inference archive: the folder that PaddleClas's export writes, whatever its source."""

from __future__ import annotations

import hashlib
import json
import reprlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from scripts.errors import ArchiveError
from scripts.files import unreadable, write_whole
from tritonclas import zoo

WeightsKind = Literal["official", "own", "sample", "synthetic"]

#: Paddle 3 writes a program as JSON, Paddle 2 as a protobuf; the official archives are of the second kind.
PROGRAMS = ("inference.json", "inference.pdmodel")
PARAMETERS = "inference.pdiparams"
#: Stands in archives that the project made, so that random weights are never taken for a user's own.
MADE = "made_by_tritonclas.json"
#: Stands in the cache's folders: which download they hold.
DOWNLOAD = "download.json"

#: Part of the seeds of synthetic weights: raise it when the weights of a name are to change.
SYNTHETIC_VERSION = 1
_CHUNK = 2**22


def _made(folder: Path) -> tuple[WeightsKind, str] | None:
    """Kind and source of an archive that the project made; None of any other.

    Anybody may write such a mark: what it can't claim is that the weights are PaddleClas's own.
    """
    if not (folder / MADE).is_file():
        return None
    try:
        said = json.loads((folder / MADE).read_text(encoding="utf-8"))
        kind, source = said["kind"], said["source"]
        if kind not in ("sample", "synthetic") or not isinstance(source, str):
            raise ValueError(f"it says {reprlib.repr(kind)} and {reprlib.repr(source)}")
        return kind, source
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ArchiveError(f"{folder / MADE} is damaged ({error}); make the archive again") from error


def generated(model: zoo.Model, kind: Literal["sample", "synthetic"]) -> str:
    """What is said of the weights that the project makes itself. Another text means other weights."""
    if kind == "synthetic":
        return f"seeded random weights, version {SYNTHETIC_VERSION}"
    return f"{str(model.sample).replace('_', '-')} 0.1.0 (Apache-2.0)"


@dataclass(frozen=True)
class Archive:
    """A program and its parameters in one folder, and where they come from."""

    folder: Path
    program: Path
    parameters: Path
    kind: WeightsKind
    source: str

    @classmethod
    def open(cls, folder: Path, kind: WeightsKind, source: str) -> Archive:
        """The archive in `folder`; ArchiveError naming the file that is missing.

        One that the project made itself says so, and keeps its kind and source wherever it is copied.
        """
        try:
            next(folder.iterdir(), None)
        except (FileNotFoundError, NotADirectoryError):
            raise ArchiveError(f"{folder} is not a folder; give the folder that PaddleClas's export wrote") from None
        except OSError as error:
            raise unreadable(folder, error) from error
        programs = [folder / name for name in PROGRAMS if (folder / name).is_file()]
        if not programs:
            raise ArchiveError(f"{folder} holds neither {' nor '.join(PROGRAMS)}: it isn't a Paddle inference archive")
        parameters = folder / PARAMETERS
        if not parameters.is_file():
            raise ArchiveError(f"{folder} holds no {PARAMETERS}: the archive has a program but no weights")
        if kind == "own":
            kind, source = _made(folder) or (kind, source)
        return cls(folder, programs[0], parameters, kind, source)

    @classmethod
    def made(cls, folder: Path, kind: Literal["sample", "synthetic"], source: str) -> Archive:
        """The archive that has just been made in `folder`, which from now on says so."""
        write_whole(folder / MADE, json.dumps({"kind": kind, "source": source}) + "\n")
        return cls.open(folder, kind, source)

    @cached_property
    def parameters_sha256(self) -> str:
        """SHA-256 of the parameters' file, in hexadecimal."""
        digest = hashlib.sha256()
        try:
            with self.parameters.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    digest.update(chunk)
        except OSError as error:
            raise unreadable(self.parameters, error) from error
        return digest.hexdigest()
