"""A model that does nothing, so that only the way to it and back takes time."""

from __future__ import annotations

import textwrap
from pathlib import Path

NAME = "Idle"
CLASSES = 1000

_CONFIG = f"""\
name: "{NAME}"
backend: "python"
max_batch_size: 32
input [ {{ name: "image" data_type: TYPE_STRING dims: [ 1 ] }} ]
output [ {{ name: "probabilities" data_type: TYPE_FP32 dims: [ {CLASSES} ] label_filename: "labels.txt" }} ]
instance_group [ {{ kind: KIND_CPU count: 1 }} ]
"""

_MODEL = f"""\
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        row = np.linspace(0, 1, {CLASSES}, dtype=np.float32)
        self._answers = [np.tile(row, (size, 1)) for size in range(33)]

    def execute(self, requests):
        sizes = [pb_utils.get_input_tensor_by_name(request, "image").shape()[0] for request in requests]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("probabilities", self._answers[size])]) for size in sizes]
"""


def write(repository: Path) -> None:
    """Put it into a model repository."""
    version = repository / NAME / "1"
    version.mkdir(parents=True)
    (version / "model.py").write_text(textwrap.dedent(_MODEL), encoding="utf-8")
    (version.parent / "config.pbtxt").write_text(_CONFIG, encoding="utf-8")
    names = "".join(f"class {index}\n" for index in range(CLASSES))
    (version.parent / "labels.txt").write_text(names, encoding="utf-8")
