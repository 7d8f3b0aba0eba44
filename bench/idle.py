"""A model that does nothing, so that only the way to it and back takes time."""

from __future__ import annotations

from pathlib import Path

from scripts import render
from tritonclas.served import Served

NAME = "Idle"
CLASSES = 1000

_CONFIG = """\
name: "{name}"
backend: "python"
max_batch_size: 32
input [ {{ {tensor} }} ]
output [ {{ name: "probabilities" data_type: TYPE_FP32 dims: [ {classes} ] label_filename: "labels.txt" }} ]
instance_group [ {{ kind: KIND_CPU count: 1 }} ]
"""

_MODEL = """\
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        row = np.linspace(0, 1, {classes}, dtype=np.float32)
        self._answers = [np.tile(row, (size, 1)) for size in range(33)]

    def execute(self, requests):
        sizes = [pb_utils.get_input_tensor_by_name(request, "{tensor}").shape()[0] for request in requests]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("probabilities", self._answers[size])]) for size in sizes]
"""


def write(repository: Path) -> None:
    """Put a model that takes encoded images into a model repository."""
    _write(repository, NAME, "image", "TYPE_STRING", "1")


def write_network(repository: Path, side: int) -> str:
    """Put an ensemble there whose network takes crops of so many pixels a side, and does nothing; its name."""
    model = Served(name=f"{NAME}{side}", crop=side, resize_short=side, interpolation="linear", max_batch_size=32)
    render.write(render.render([model]), repository)
    for name in (model.name, model.preprocess_name):
        (repository / name / "1").mkdir(exist_ok=True)
    _write(repository, model.network_name, "pixels", "TYPE_UINT8", f"{side}, {side}, 3")
    return model.name


def _write(repository: Path, name: str, tensor: str, datatype: str, dims: str) -> None:
    version = repository / name / "1"
    version.mkdir(parents=True, exist_ok=True)
    (version / "model.py").write_text(_MODEL.format(classes=CLASSES, tensor=tensor), encoding="utf-8")
    declared = f'name: "{tensor}" data_type: {datatype} dims: [ {dims} ]'
    config = _CONFIG.format(name=name, tensor=declared, classes=CLASSES)
    (version.parent / "config.pbtxt").write_text(config, encoding="utf-8")
    names = "".join(f"class {index}\n" for index in range(CLASSES))
    (version.parent / "labels.txt").write_text(names, encoding="utf-8")
