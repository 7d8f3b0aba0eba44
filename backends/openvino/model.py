"""Triton backend: OpenVINO on the CPU, for servers without NVIDIA's own `openvino` backend, or in its place.

It reads the same config.pbtxt and the same keys as NVIDIA's, and refuses what it can't honour. Unlike NVIDIA's it
takes batches of any size up to `max_batch_size` as they come. Threads and instances may share a process.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bfloat16 import cpu_flags
from network_model import NetworkModel
from openvino_compiled import Compiled, compiled
from openvino_options import properties


class TritonPythonModel:
    """One instance; those in one process share what OpenVINO compiled, which the last one's end frees."""

    def initialize(self, args: dict[str, str]) -> None:
        self._model = NetworkModel(args, "model.xml", _load)

    def execute(self, requests: list[Any]) -> list[Any]:
        return self._model.execute(requests)  # type: ignore[no-any-return]

    def finalize(self) -> None:
        del self._model


def _load(path: Path, config: Mapping[str, Any], instance_kind: str) -> Compiled:
    return compiled(path, properties(config, instance_kind, cpu_flags()))
