"""A folder per class, named by the class's index, by its name, or in the order of the classes."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from scripts.evaluation.labelled.pictures import LabelError, Labelled, LabelledSet, check_index

#: File names that are taken for pictures, in small letters or capitals.
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm"})

FORMS = (
    "name the folders by index (0, 1, …) or by the classes' names, have one for each class in sorted order, "
    "or give --labels a list with `PATH INDEX` a line"
)
_WORDNET_ID = re.compile(r"n\d{8}", re.ASCII)

Indices = Mapping[str, int]


def pictures_by_class(folder: Path, names: Sequence[str], source: str) -> LabelledSet:
    """The pictures in the folders below; LabelError if a folder's class isn't clear.

    `names` are the classes' names, and `source` says whose. The classes take turns, so that the first N
    pictures are of as many classes as can be.
    """
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not classes:
        raise LabelError(f"{folder} has no folders to be its classes; make one for each class, or give --labels a list")
    indices, form = _indices([path.name for path in classes], names, source, folder)
    turns = itertools.zip_longest(*([Labelled(each, indices[path.name]) for each in _files(path)] for path in classes))
    pictures = tuple(picture for turn in turns for picture in turn if picture)
    if not pictures:
        raise LabelError(
            f"the {len(classes)} class folders in {folder} hold no pictures ({', '.join(sorted(SUFFIXES))})"
        )
    return LabelledSet(folder, pictures, form)


def _files(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def _indices(folders: Sequence[str], names: Sequence[str], source: str, root: Path) -> tuple[Indices, str]:
    """The class of each folder, and in words how it was found; LabelError unless exactly one reading fits."""
    by_name = _named(folders, names)
    complete = len(by_name) == len(folders)
    if all(name.isascii() and name.isdecimal() for name in folders):
        by_index = {name: int(name[:10]) for name in folders}
        if complete and by_name != by_index:
            raise LabelError(f"the folders in {root} are numbers that {source} has as names of other classes; {FORMS}")
        return _checked(by_index, len(names), root), "in folders named by class index"
    if complete:
        return _once(by_name, root), f"in folders named as {source} names the classes"
    if by_name:
        unknown = [name for name in folders if name not in by_name]
        raise LabelError(
            f"{len(unknown)} of the {len(folders)} folders in {root} aren't named as {source} names one class, "
            f"such as {unknown[0]!r}; {FORMS}"
        )
    if len(folders) == len(names):
        return {name: index for index, name in enumerate(folders)}, "in folders sorted in the order of the classes"
    raise LabelError(
        f"the {len(folders)} folders in {root} ({', '.join(folders[:3])}{', …' if len(folders) > 3 else ''}) are "
        f"neither indices nor names of the model's {len(names)} classes, nor as many; {FORMS}"
    )


def _checked(indices: Indices, classes: int, root: Path) -> Indices:
    for name, index in indices.items():
        check_index(index, classes, str(root / name))
    return _once(indices, root)


def _once(indices: Indices, root: Path) -> Indices:
    """Two folders of one class are a mistake, such as 7 and 07."""
    seen: dict[int, str] = {}
    for name, index in indices.items():
        if (other := seen.setdefault(index, name)) != name:
            raise LabelError(f"the folders {other!r} and {name!r} in {root} are both of class {index}; keep one")
    return indices


def _named(folders: Sequence[str], names: Sequence[str]) -> dict[str, int]:
    """The classes of the folders that are called as a class is: by its whole name, or by a part that no other has."""
    whole, parts = _unique([[name] for name in names]), _unique([_parts(name) for name in names])
    found = {name: whole.get(_folded(name), parts.get(_folded(name))) for name in folders}
    return {name: index for name, index in found.items() if index is not None}


def _parts(name: str) -> list[str]:
    """What stands between commas in a name such as `tabby, tabby cat`, and its WordNet id if it begins with one."""
    identifier = _WORDNET_ID.match(name)
    return [*name.split(","), *([identifier[0]] if identifier else [])]


def _unique(called: Sequence[Sequence[str]]) -> dict[str, int]:
    """Index by name, of the names that only one class has."""
    owners: dict[str, set[int]] = {}
    for index, names in enumerate(called):
        for name in filter(None, map(_folded, names)):
            owners.setdefault(name, set()).add(index)
    return {name: next(iter(indices)) for name, indices in owners.items() if len(indices) == 1}


def _folded(name: str) -> str:
    return " ".join(name.replace("_", " ").split()).casefold()
