"""What a labelled set is, however it was written down."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from scripts.errors import ScriptError


class LabelError(ScriptError):
    """The labelled set can't be read, or doesn't say which class a picture is of."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """A picture, and the index of its class."""

    path: Path
    index: int


@dataclass(frozen=True)
class LabelledSet:
    """Pictures in the order in which they are asked for; `form` says how their classes were found out."""

    folder: Path
    pictures: tuple[Labelled, ...]
    form: str

    def fingerprint(self) -> str:
        """The same for the same pictures with the same classes in the same order, wherever the folder is."""
        digest = hashlib.sha256()
        for picture in self.pictures:
            name = os.fsencode(picture.path.relative_to(self.folder))
            digest.update(b"%d %d %s" % (picture.index, len(name), name))
        return digest.hexdigest()


def check_index(index: int, classes: int, where: str, hint: str = "") -> None:
    """LabelError, that begins with `where`, unless the model has such a class."""
    if not 0 <= index < classes:
        raise LabelError(f"{where}: the model has no class {index}, only 0 to {classes - 1}{hint}")
