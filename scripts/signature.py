"""What a converted archive takes and answers, and whether that is what its model should."""

from __future__ import annotations

from dataclasses import dataclass

import onnx

from scripts.archive import Archive
from scripts.errors import ArchiveError
from tritonclas.served import Served

#: Sizes of dimensions; None stands for one that isn't fixed.
Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Signature:
    """The shapes of a classifier's one input and one output, of any batch size: N x 3 x height x width, N x classes."""

    taken: Shape
    answered: Shape

    @classmethod
    def of(cls, graph: onnx.GraphProto, archive: Archive) -> Signature:
        """The converted archive's; ArchiveError if it isn't one of a classifier of pictures."""
        if len(graph.input) != 1 or len(graph.output) != 1:
            counts = f"{len(graph.input)} inputs and {len(graph.output)} outputs"
            raise _unusable(archive, f"it has {counts} instead of one each; export the classifier alone")
        taken, answered = _shape(graph.input[0]), _shape(graph.output[0])
        if not _fits(taken, (None, 3, None, None)):
            raise _unusable(
                archive,
                f"it takes {_spelt(taken)} instead of N x 3 x height x width, N being any batch size; "
                "export it with the input shape [None, 3, height, width]",
            )
        if not _fits(answered, (None, None)):
            raise _unusable(
                archive,
                f"it answers {_spelt(answered)} instead of N x classes; export one that was trained to classify",
            )
        return cls(taken, answered)

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height in pixels; None if they aren't fixed."""
        *_, height, width = self.taken
        return None if height is None or width is None else (width, height)

    @property
    def classes(self) -> int | None:
        """How many probabilities are answered; None if that isn't fixed."""
        return self.answered[1]


def check_signature(signature: Signature, archive: Archive, model: Served) -> None:
    """ArchiveError unless the archive maps [N, 3, crop, crop] to [N, classes]; sizes that aren't fixed pass."""
    crop, classes = model.crop, model.classes
    if not _fits(signature.taken, (None, 3, crop, crop)):
        raise _misfit(archive, model, wrong_size(signature.taken, crop))
    if not _fits(signature.answered, (None, classes)):
        raise _misfit(
            archive,
            model,
            f"it answers {_spelt(signature.answered)} instead of N x {classes} (N pictures, {classes} classes); give "
            f"an archive that was trained on {classes} classes, or publish it under a name of its own with --labels",
        )


def wrong_size(taken: Shape, crop: int) -> str:
    """Why an archive that takes these pictures isn't served at `crop` pixels, and what can be done."""
    *_, height, width = taken
    return (
        f"it was exported for {width}x{height} pixels, but the model is trained and evaluated at {crop}x{crop} (the "
        "size of export stands alone in PaddleClas's YAML files; EfficientNetB4's says 224 for a model of 380); export "
        f"it again by PaddleClas's tools/export_model.py with -o Global.image_shape=[3,{crop},{crop}], "
        f"or, if it was trained at {width}, publish it under a name of its own with --labels and --crop {width}"
    )


def _unusable(archive: Archive, difference: str) -> ArchiveError:
    return ArchiveError(f"the archive in {archive.folder} isn't a classifier of pictures: {difference}")


def _misfit(archive: Archive, model: Served, difference: str) -> ArchiveError:
    return ArchiveError(f"the archive in {archive.folder} isn't one of {model.name}: {difference}")


def _shape(value: onnx.ValueInfoProto) -> Shape:
    return tuple(size.dim_value if size.HasField("dim_value") else None for size in value.type.tensor_type.shape.dim)


def _fits(shape: Shape, expected: Shape) -> bool:
    """True if the sizes may be the expected ones; the first, the batch, mustn't be fixed."""
    if len(shape) != len(expected) or shape[0] is not None:
        return False
    return all(None in pair or pair[0] == pair[1] for pair in zip(shape, expected, strict=True))


def _spelt(shape: Shape) -> str:
    return " x ".join("N" if size is None else str(size) for size in shape)
