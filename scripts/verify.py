"""An ONNX file is compared with Paddle's own inference of the archive it comes from."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as onnxruntime_errors

from scripts.agreement import Agreement, Batch, Picture, Rows, judge
from scripts.archive import Archive
from scripts.children import ChildFailed, run_child
from scripts.errors import VerificationError
from scripts.graph.front import INPUT, OUTPUT
from scripts.photographs import photographs, pictures_option
from scripts.provenance import Origin
from scripts.versions import model_file
from tritonclas import zoo
from tritonclas.cli import example
from tritonclas.served import Served

#: The largest difference of a probability that passes, by family. Measured over the whole zoo, float32
#: rounding makes 2e-8 to 2e-5 (EfficientNet) and 7e-6 to 7e-5 (ResNeXt with random weights, which
#: amplify it); other processors round otherwise. A wrong layer, size or normalisation makes 1e-2 and more.
TOLERANCE: Mapping[type[zoo.EfficientNet | zoo.ResNeXt], float] = {zoo.EfficientNet: 5e-5, zoo.ResNeXt: 2e-4}
#: Of a network that we don't know: the larger one.
TOLERANCE_OTHERWISE = max(TOLERANCE.values())

#: A batch of one, and one of several: a batch size that was fixed at export shows only in the second. The model's
#: largest comes besides.
BATCH_SIZES = (1, 3)

_SEED = 20240924

_LOAD_ERRORS = (
    onnxruntime_errors.Fail,
    onnxruntime_errors.InvalidArgument,
    onnxruntime_errors.InvalidGraph,
    onnxruntime_errors.InvalidProtobuf,
    onnxruntime_errors.NotImplemented,
    onnxruntime_errors.RuntimeException,
    ValueError,
)


def verify(
    archive: Archive,
    onnx_path: Path,
    model: Served,
    pictures: Sequence[Picture] = (),
    scratch: Path | None = None,
) -> Agreement:
    """Feeds both the same pictures, one by one, in threes and in the largest batch, and compares their probabilities.

    `pictures` are uint8 [crop, crop, 3] in RGB, taken besides the synthetic ones. Temporary files go to the folder
    `scratch`, else where they always go. VerificationError if the answers differ, or if they are such that equality
    would prove nothing.
    """
    asked = _batches([*synthetic_pictures(model.crop), *pictures], model.max_batch_size)
    expected = paddle_answers(archive, model, asked, scratch)
    return judge(asked, expected, _onnx_answers(onnx_path, asked), model.classes, tolerance(model))


def tolerance(model: Served) -> float:
    """How far a probability may be from Paddle's."""
    return TOLERANCE[type(model.network)] if isinstance(model, zoo.Model) else TOLERANCE_OTHERWISE


def synthetic_pictures(crop: int) -> list[Picture]:
    """Three pictures, uint8 [crop, crop, 3], always the same: noise, smooth gradients, noise in large squares."""
    generator = np.random.default_rng(_SEED)
    noise = generator.integers(0, 256, (crop, crop, 3), dtype=np.uint8)
    rising = np.linspace(0, 255, crop)
    across, down = np.meshgrid(rising, rising)
    gradients = np.stack([across, down, 255 - (across + down) / 2], axis=-1).astype(np.uint8)
    squares = noise[:8, :8].repeat(-(-crop // 8), axis=0).repeat(-(-crop // 8), axis=1)[:crop, :crop]
    return [noise, gradients, squares]


def _batches(pictures: Sequence[Picture], largest: int) -> list[Batch]:
    """The pictures in batches of each size; the last batch of a size is filled with the first pictures."""
    batches = []
    for size in sorted({*BATCH_SIZES, largest}):
        if size > largest:
            break
        for start in range(0, len(pictures), size):
            positions = [position % len(pictures) for position in range(start, start + size)]
            numbers = tuple(position + 1 for position in positions)
            batches.append(Batch(numbers, np.stack([pictures[position] for position in positions])))
    return batches


def paddle_answers(
    archive: Archive, model: Served, batches: Sequence[Batch], scratch: Path | None = None
) -> list[Rows]:
    """What Paddle answers, in a process that gives its memory back before ONNX Runtime takes its own."""
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        questions, answers = Path(folder) / "questions.npz", Path(folder) / "answers.npz"
        named = {str(position): batch.pictures for position, batch in enumerate(batches)}
        np.savez(questions, mean=np.asarray(model.mean, "f4"), std=np.asarray(model.std, "f4"), **named)
        try:
            run_child("answers", archive.program, archive.parameters, questions, answers, scratch=Path(folder))
        except ChildFailed as error:
            raise VerificationError(f"Paddle can't run the archive in {archive.folder}: {error}") from None
        with np.load(answers) as found:
            return [found[name] for name in named]


def _onnx_answers(onnx_path: Path, batches: Sequence[Batch]) -> list[Rows]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(model_file(onnx_path), options, providers=["CPUExecutionProvider"])
        answers: list[Rows] = [session.run([OUTPUT], {INPUT: batch.pictures})[0] for batch in batches]
    except _LOAD_ERRORS as error:
        reason = str(error).splitlines()[0]
        raise VerificationError(f"ONNX Runtime can't run {onnx_path}: {reason}; export it again") from None
    return answers


@click.command(epilog=example("python -m scripts.verify EfficientNetB0_infer model.onnx"))
@click.argument("archive_dir", type=click.Path(path_type=Path))
@click.argument("onnx_path", metavar="ONNX", type=click.Path(path_type=Path, exists=True))
@pictures_option
def main(archive_dir: Path, onnx_path: Path, pictures: Path) -> None:
    """Compare an ONNX model with Paddle's own inference of the archive in ARCHIVE_DIR that it was exported from."""
    origin = Origin.read(model_file(onnx_path))
    if origin is None:
        raise VerificationError(f"{onnx_path} isn't a model that this version has exported; export it again")
    model = zoo.MODELS.get(origin.model.name, origin.model)
    archive = Archive.open(archive_dir, "own", str(archive_dir))
    agreement = verify(archive, onnx_path, model, photographs(model, pictures))
    click.echo(
        f"{onnx_path}: the same as Paddle; largest difference {agreement.difference:.1e} at picture "
        f"{agreement.picture}, batch {agreement.batch} (at most {agreement.tolerance:.0e} is allowed), top 5 equal"
    )


if __name__ == "__main__":
    main()
