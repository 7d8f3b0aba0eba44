"""A Paddle inference archive becomes an ONNX model that takes pixels and answers probabilities."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import onnx
from onnx import TensorProto, helper

from scripts.archive import Archive
from scripts.arguments import zoo_model
from scripts.children import ChildFailed, run_child
from scripts.errors import ExportError
from scripts.files import unwritable
from scripts.graph import edit, passes
from scripts.graph.naming import name_after
from scripts.onnx_file import is_written_by_us, move_onnx, size_on_disk, write_onnx
from scripts.parameters import Parameter, read_parameters
from scripts.provenance import Origin
from scripts.recognise import rows_like
from scripts.signature import Signature, check_signature
from tritonclas import zoo
from tritonclas.cli import example
from tritonclas.served import Served

#: ONNX Runtime 1.19, the one in Triton 24.09, reads up to 10; opset 17 came with 8.
IR_VERSION = 8
PRODUCER = "tritonclas"


@dataclass(frozen=True)
class Converted:
    """An archive's graph as paddle2onnx makes it: nodes use the weights by name, and nothing makes them.

    `rows` are those of the zoo with the same network, whatever the classes.
    """

    archive: Archive
    graph: onnx.ModelProto
    signature: Signature
    rows: tuple[zoo.Model, ...]


def convert(archive: Archive, scratch: Path | None = None) -> Converted:
    """Converts an archive's structure; temporary files go to the folder `scratch`, else where they always go.

    ArchiveError if it isn't one of a classifier; ExportError if paddle2onnx can't convert it.
    """
    parameters = read_parameters(archive)  # what is damaged is said before paddle2onnx is started
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        converted = Path(folder) / "structure.onnx"
        try:
            run_child("structure", archive.program, converted, scratch=Path(folder))
        except ChildFailed as error:
            raise ExportError(f"paddle2onnx can't convert {archive.program}: {error}") from None
        model = onnx.load(converted)
    signature = Signature.of(model.graph, archive)
    return Converted(archive, model, signature, rows_like(model.graph, parameters, signature.classes))


def export(converted: Converted, model: Served, target: Path) -> None:
    """Writes `target`: `pixels` UINT8 [batch, crop, crop, 3] to `probabilities` FP32 [batch, classes].

    With more than 1 GiB of weights it is a folder, with the model's file and one of weights. ArchiveError if the
    archive isn't the model's. On an error nothing is written, and what was there before stays.
    """
    archive = converted.archive
    check_signature(converted.signature, archive, model)
    if target.is_dir() and not is_written_by_us(target):
        raise ExportError(f"{target} is a folder, and none that this command has written; write to another place")
    graph = onnx.ModelProto()
    graph.CopyFrom(converted.graph)
    try:
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=_folder(target)) as folder:
            scratch = Path(folder)
            attach(graph, read_parameters(archive), archive)
            for transform in passes(model, edit.Store(scratch / "made.data")):
                transform(graph)
            _describe(graph, archive, model)
            finished = scratch / target.name
            write_onnx(graph, finished)
            move_onnx(finished, target)
    except OSError as error:
        raise unwritable(target, error) from error


def _folder(target: Path) -> Path:
    if not target.parent.is_dir():
        raise ExportError(f"{target.parent} is not a folder; make it first, or write the ONNX file elsewhere")
    return target.parent


def attach(converted: onnx.ModelProto, weights: Iterable[Parameter], archive: Archive) -> None:
    """Adds the weights that the graph uses as initializers that refer to the archive's parameters file.

    The elements stay on disk until a pass needs them. ExportError if the graph uses any that the archive lacks.
    """
    graph = converted.graph
    missing = _unmade(graph)
    for parameter in weights:
        if parameter.name in missing:
            missing.remove(parameter.name)
            dtype = helper.np_dtype_to_tensor_dtype(np.dtype(parameter.dtype))
            tensor = TensorProto(name=parameter.name, data_type=dtype, dims=parameter.shape)
            edit.refer(tensor, archive.parameters, parameter.offset, parameter.nbytes)
            graph.initializer.append(tensor)
    if missing:
        raise ExportError(
            f"paddle2onnx's graph of {archive.program} uses {min(missing)}, and the archive has no such parameter; "
            "export the model again with the PaddlePaddle that this project locks"
        )


def _unmade(graph: onnx.GraphProto) -> set[str]:
    """The values that nodes use and nothing makes."""
    made = {value.name for value in (*graph.input, *graph.initializer)}
    made.update(name for node in graph.node for name in node.output)
    return {name for node in graph.node for name in node.input if name} - made


def _describe(converted: onnx.ModelProto, archive: Archive, model: Served) -> None:
    """Says in the file what it is and where it comes from, also in the names of what it computes."""
    properties = Origin.of(archive, model).properties()
    converted.ir_version = IR_VERSION
    converted.producer_name = PRODUCER
    converted.graph.name = model.name
    helper.set_model_props(converted, properties)
    name_after(converted.graph, hashlib.sha256(json.dumps(properties).encode()).hexdigest()[:12])


@click.command(
    epilog=example("python -m scripts.export EfficientNetB0 EfficientNetB0_infer --out model.onnx"),
)
@click.argument("model", metavar="NAME", callback=zoo_model)
@click.argument("archive_dir", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="The ONNX file to write; with more than 1 GiB of weights, a folder.",
)
def main(model: zoo.Model, archive_dir: Path, out: Path) -> None:
    """Export the Paddle inference archive in ARCHIVE_DIR, which is one of the model NAME, to an ONNX file."""
    export(convert(Archive.open(archive_dir, "own", str(archive_dir))), model, out)
    click.echo(f"{out}: {model.name}, {size_on_disk(out) / 1e6:.1f} MB; compare it with Paddle by scripts.verify")


if __name__ == "__main__":
    main()
