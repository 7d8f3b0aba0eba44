"""paddle2onnx, for the structure only: the weights stay where they are."""

from __future__ import annotations

from pathlib import Path

import paddle2onnx

#: The newest that paddle2onnx writes; it aborts from 22 on.
OPSET = 17


def main(program: Path, target: Path) -> None:
    """Writes the program's graph as ONNX without weights: nodes use them by name, and nothing makes them."""
    converted: bytes = paddle2onnx.export(
        str(program),
        "",
        None,
        opset_version=OPSET,
        enable_onnx_checker=False,  # it only prints, and would complain of the weights
        optimize_tool="None",  # the default installs packages
    )
    target.write_bytes(converted)
