"""Names of classes that a caller gives for a model whose server has none."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tritonclas.errors import InvalidRequest


def names_of(labels: str | os.PathLike[str] | Sequence[str] | None) -> tuple[str, ...] | None:
    """The names, one for each class in the order of the model's output, given as such or by a file, one a line."""
    if labels is None:
        return None
    names: tuple[Any, ...] = tuple(_lines(Path(labels)) if isinstance(labels, (str, os.PathLike)) else _given(labels))
    if not names or not all(isinstance(name, str) for name in names):
        raise InvalidRequest("labels must be names, one for each class, or the path of a file with one a line")
    return names


def _given(labels: object) -> Iterable[object]:
    if isinstance(labels, Mapping) or not isinstance(labels, Iterable):
        return ()
    return labels


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise InvalidRequest(f"the labels in {path} can't be read ({error})") from error
