"""A user's own model: how it is to be served, from what its archive says and what the user says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from scripts.archive import Archive
from scripts.class_names import read_class_names
from scripts.errors import ArchiveError, ScriptError
from scripts.inference_yml import Described, Preparation, read_description
from scripts.signature import Signature, wrong_size
from tritonclas import zoo
from tritonclas.preprocess import Preprocessing
from tritonclas.served import IMAGENET_MEAN, IMAGENET_STD, LARGEST_BATCH, Served, is_part

#: Images a request: the largest batch that the published tables measure.
USUAL_BATCH = 8
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Own:
    """What a user says of a model of theirs."""

    name: str
    labels: Path | None = None
    like: zoo.Model | None = None
    preparation: Preparation = field(default_factory=Preparation)
    max_batch_size: int | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or is_part(self.name):
            raise ScriptError(
                f"{self.name!r} can't be a model's name: at most 100 letters, digits, '_', '-' and '.', beginning "
                "with a letter or a digit, not with preprocess_, and not ending in _net"
            )


@dataclass(frozen=True)
class Decided:
    """How a model is served, and the names of its classes."""

    model: Served
    labels: tuple[str, ...]


def decide(own: Own, archive: Archive, signature: Signature, rows: Sequence[zoo.Model] = ()) -> Decided:
    """What the user says counts most, then the model that it is like, then the archive's inference.yml.

    What nobody says is PaddleClas's default: short side and crop as 256 to 224, linear, ImageNet's normalisation.
    ArchiveError if they contradict the archive, or if the user names no size and those `rows` of the zoo that have the
    archive's network all have another one.
    """
    described = read_description(archive.folder)
    labels = _labels(own, described, archive)
    said = [own.preparation, *([_of(own.like)] if own.like else []), described.preparation]
    crop = _crop(own, described.preparation, archive, signature, rows)
    # The short side belongs to its crop: a model that is like another one of another size has another short side.
    resize_short = _first(each.resize_short for each in said if each is own.preparation or each.crop == crop)
    largest = own.like.max_batch_size if own.like else USUAL_BATCH
    model = Served(
        name=own.name,
        crop=crop,
        resize_short=resize_short or round(crop * 256 / 224),
        interpolation=_first(each.interpolation for each in said) or "linear",
        max_batch_size=largest if own.max_batch_size is None else own.max_batch_size,
        classes=_classes(labels, own, archive, signature),
        mean=_first(each.mean for each in said) or IMAGENET_MEAN,
        std=_first(each.std for each in said) or IMAGENET_STD,
    )
    _check(model)
    return Decided(model, labels)


def _of(row: zoo.Model) -> Preparation:
    return Preparation(row.resize_short, row.crop, row.interpolation, row.mean, row.std)


def _first(values: Iterable[T | None]) -> T | None:
    return next((value for value in values if value is not None), None)


def _labels(own: Own, described: Described, archive: Archive) -> tuple[str, ...]:
    if own.labels:
        return read_class_names(own.labels)
    if described.labels:
        return described.labels
    raise ScriptError(
        f"{own.name} is a model of your own, and {archive.folder} doesn't name its classes; "
        "give --labels FILE with a class name a line"
    )


def _crop(own: Own, described: Preparation, archive: Archive, signature: Signature, rows: Sequence[zoo.Model]) -> int:
    """The side of the pictures: what is wanted, if that is what the archive takes."""
    wanted = _first([own.preparation.crop, own.like.crop if own.like else None, described.crop])
    if signature.size is None:
        if wanted is None:
            raise ArchiveError(
                f"the archive in {archive.folder} takes pictures of any size; give --crop with that of its evaluation"
            )
        return wanted
    width, height = signature.size
    if width != height:
        raise ArchiveError(
            f"the archive in {archive.folder} takes {width}x{height} pixels; only square pictures are supported"
        )
    # A size in inference.yml doesn't count here: PaddleClas's EfficientNetB4 is exported with 224 in it too.
    said = own.preparation.crop is not None or own.like is not None
    if rows and not said and width not in (row.crop for row in rows):
        raise ArchiveError(
            f"the archive in {archive.folder} has {rows[0].name}'s network, and "
            f"{wrong_size(signature.taken, rows[0].crop)}"
        )
    if wanted is not None and wanted != width:
        raise ArchiveError(
            f"the archive in {archive.folder} doesn't fit: {_contradiction(own, signature, width, wanted)}"
        )
    return width


def _contradiction(own: Own, signature: Signature, side: int, wanted: int) -> str:
    if own.preparation.crop is None and own.like:
        return wrong_size(signature.taken, wanted)
    who = "its inference.yml" if own.preparation.crop is None else "--crop"
    return f"it was exported for {side}x{side} pixels, and {who} says {wanted}; export it again, or give --crop {side}"


def _classes(labels: tuple[str, ...], own: Own, archive: Archive, signature: Signature) -> int:
    answered = signature.classes
    if answered not in (None, len(labels)):
        named = own.labels or f"{archive.folder}'s inference.yml"
        raise ArchiveError(
            f"{named} names {len(labels)} classes, and the archive in {archive.folder} answers {answered}; "
            "give the list that it was trained with"
        )
    return len(labels)


def _check(model: Served) -> None:
    """ScriptError if the values make no sense."""
    if not 0 < model.max_batch_size <= LARGEST_BATCH:
        raise ScriptError(f"--max-batch-size is {model.max_batch_size}; it must be from 1 to {LARGEST_BATCH}")
    if min(model.std) <= 0:
        raise ScriptError(f"--std is {model.std}; deviations must be positive")
    if not all(abs(value) <= 1 for value in (*model.mean, *model.std)):  # neither is NaN
        raise ScriptError("--mean and --std are those of pixels scaled to 0..1; divide yours by 255")
    try:
        Preprocessing(model.resize_short, model.crop, model.interpolation)
    except ValueError as error:
        raise ScriptError(str(error)) from None
