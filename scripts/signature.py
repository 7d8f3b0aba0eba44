"""Whether a converted archive takes and answers what its row of the zoo says."""

from __future__ import annotations

import onnx

from scripts.archive import Archive
from scripts.errors import ArchiveError
from tritonclas.served import Served

#: Sizes of dimensions; None stands for one that isn't fixed.
Shape = tuple[int | None, ...]


def check_signature(converted: onnx.ModelProto, archive: Archive, model: Served) -> None:
    """ArchiveError unless the graph maps [N, 3, crop, crop] to [N, classes], any N; sizes that aren't fixed pass."""
    graph = converted.graph
    if len(graph.input) != 1 or len(graph.output) != 1:
        counts = f"{len(graph.input)} inputs and {len(graph.output)} outputs"
        raise _misfit(archive, model, f"it has {counts} instead of one each; export the classifier alone")
    _check_input(_shape(graph.input[0]), archive, model)
    _check_output(_shape(graph.output[0]), archive, model)


def _check_input(taken: Shape, archive: Archive, model: Served) -> None:
    crop = model.crop
    if _fits(taken, (None, 3, crop, crop)):
        return
    if _fits(taken, (None, 3, None, None)):
        raise _misfit(archive, model, _wrong_size(f"{taken[3]}x{taken[2]}", crop))
    raise _misfit(
        archive,
        model,
        f"it takes {_spelt(taken)} instead of N x 3 x {crop} x {crop}, N being any batch size; "
        f"export it with the input shape [None, 3, {crop}, {crop}]",
    )


def _wrong_size(exported: str, crop: int) -> str:
    return (
        f"it was exported for {exported} pixels, but the model is trained and evaluated at {crop}x{crop} (the size of "
        "export stands alone in PaddleClas's YAML files; EfficientNetB4's says 224 for a model of 380); export it "
        f"again by PaddleClas's tools/export_model.py with -o Global.image_shape=[3,{crop},{crop}]"
    )


def _check_output(answered: Shape, archive: Archive, model: Served) -> None:
    if not _fits(answered, (None, model.classes)):
        raise _misfit(
            archive,
            model,
            f"it answers {_spelt(answered)} instead of N x {model.classes} (N pictures, {model.classes} classes); "
            f"give an archive that was trained on {model.classes} classes",
        )


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
