"""What paddle2onnx alone makes of an archive: python -m bench.raw_export PROGRAM PARAMETERS TARGET.

A process of its own: Paddle is chatty, and keeps the memory that it took.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from scripts.archive import Archive


def write(archive: Archive, target: Path) -> None:
    """The whole network as one ONNX file: float32 `[batch, 3, crop, crop]`, normalised, to probabilities."""
    paths = map(str, (archive.program, archive.parameters, target))
    done = subprocess.run(
        [sys.executable, "-m", __name__, *paths],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0 or not target.is_file():
        raise RuntimeError(f"paddle2onnx failed:\n{done.stdout}")


def main() -> None:
    """The same optimisations as by default, but for those of another package, which it would install."""
    import paddle2onnx  # noqa: PLC0415  Paddle takes seconds to load

    from scripts.children.structure import OPSET  # noqa: PLC0415

    program, parameters, target = sys.argv[1:]
    converted = paddle2onnx.export(program, parameters, None, opset_version=OPSET, optimize_tool="None")
    Path(target).write_bytes(converted)


if __name__ == "__main__":
    main()
