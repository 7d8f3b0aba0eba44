"""Tiny Paddle archives and their ONNX files, made once a session; a backend's modules."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from scripts.archive import Archive
from scripts.export import convert, export
from tritonclas import zoo

CopyArchive = Callable[[str], Archive]


@pytest.fixture(scope="session")
def tiny_archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of archives: json, legacy, scores (no softmax), sigmoid, single (batch 1 only)."""
    folder = tmp_path_factory.mktemp("archives")
    program = Path(__file__).with_name("tiny_paddle.py")
    subprocess.run([sys.executable, str(program), str(folder)], check=True, capture_output=True)
    (folder / "legacy" / "inference.pdiparams.info").unlink()
    return folder


@pytest.fixture
def tiny_archive(tiny_archives: Path, tmp_path: Path) -> CopyArchive:
    """A copy of one of the archives, that a test may spoil."""

    def copy(kind: str) -> Archive:
        folder = copytree(tiny_archives / kind, tmp_path / "archives" / kind)
        return Archive.open(folder, "own", "tests")

    return copy


@pytest.fixture(scope="session")
def tiny_row() -> zoo.Model:
    """The row that the tiny archives are of."""
    return replace(zoo.find("EfficientNetB0"), name="Tiny", crop=32, resize_short=36, classes=10, max_batch_size=4)


@pytest.fixture(scope="session")
def tiny_exports(tiny_archives: Path, tiny_row: zoo.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with json.onnx, legacy.onnx and scores.onnx, exported from the archives of these names."""
    folder = tmp_path_factory.mktemp("exports")
    for kind in ("json", "legacy", "scores"):
        export(convert(Archive.open(tiny_archives / kind, "own", "tests")), tiny_row, folder / f"{kind}.onnx")
    return folder


@pytest.fixture(scope="module")
def openvino_backend(root: Path) -> Iterator[dict[str, Any]]:
    """Modules of the OpenVINO backend's folder, which isn't a package: Triton puts it on the path."""
    names = ("bfloat16", "openvino_options", "openvino_compiled")
    sys.path.insert(0, str(root / "backends" / "openvino"))
    try:
        yield {name: import_module(name) for name in names}
    finally:
        sys.path.pop(0)
        for name in names:
            sys.modules.pop(name, None)
