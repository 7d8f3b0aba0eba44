"""Triton backend: ONNX Runtime on the CPU, for servers without NVIDIA's native `onnxruntime` backend.

It reads the same config.pbtxt and the same keys as NVIDIA's, and refuses what it can't honour.
"""

from __future__ import annotations

from typing import Any

from network_model import NetworkModel
from sessions import shared_network


class TritonPythonModel:
    """One instance; those in one process share the network, which the last one's end frees."""

    def initialize(self, args: dict[str, str]) -> None:
        self._model = NetworkModel(args, "model.onnx", shared_network)

    def execute(self, requests: list[Any]) -> list[Any]:
        return self._model.execute(requests)  # type: ignore[no-any-return]

    def finalize(self) -> None:
        del self._model
