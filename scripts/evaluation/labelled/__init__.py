"""Labelled pictures: ImageNet's list, or a folder per class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scripts.class_names import read_class_names
from scripts.evaluation.labelled.folders import pictures_by_class
from scripts.evaluation.labelled.listed import is_list, listed_pictures, text_lines
from scripts.evaluation.labelled.pictures import LabelError, Labelled, LabelledSet

__all__ = ["LabelError", "Labelled", "LabelledSet", "read_labelled"]


def read_labelled(folder: Path, labels: Path | None, names: Sequence[str]) -> LabelledSet:
    """The labelled pictures in `folder` for a model whose classes are called `names` ("" for one without a name).

    `labels` is a list with `PATH INDEX` a line, or the names of the classes of a folder per class; without
    it the folders' own names say the class. LabelError if that isn't clear, or a picture isn't there.
    """
    try:
        return _read(folder, labels, names)
    except OSError as error:
        raise LabelError(f"{error.filename} can't be read ({error.strerror})") from error


def _read(folder: Path, labels: Path | None, names: Sequence[str]) -> LabelledSet:
    if labels is None:
        return pictures_by_class(folder, names, "the model")
    if is_list(lines := text_lines(labels), folder):
        return listed_pictures(lines, folder, labels, len(names))
    own_names = read_class_names(labels)
    if len(own_names) != len(names):
        raise LabelError(
            f"{labels} is neither a list with `PATH INDEX` a line nor the names of the model's {len(names)} classes: "
            f"it has {len(own_names)} lines, the first {lines[0].text[:60]!r}"
        )
    return pictures_by_class(folder, own_names, str(labels))
