"""Which tests need nothing but the SDK: those that neither import nor run anything else of this project."""

from __future__ import annotations

import ast
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

#: Rings whose tests can run on a wheel alone; the others build it, or start a server.
RINGS = ("unit", "wire")

#: What the wheel doesn't bring. A package that is missing here makes a cell fail, which is noticed.
NOT_OF_THE_SDK = {
    *("backends", "bench", "examples", "loadtest", "scripts"),
    *("fastapi", "httpx", "onnx", "onnxruntime", "paddle", "psutil", "ray"),
}

#: What tests read beside their modules.
DATA = ("pyproject.toml", "examples", "tests/data")

_MODULE = re.compile(r"[a-z_]+(\.[a-z_]+)+")


def named(path: Path) -> Iterator[str]:
    """Modules that a file imports, or names in a text as programs to be run (`-m loadtest.sweep`)."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _MODULE.fullmatch(node.value):
            yield node.value


def needs_the_sdk_alone(path: Path, root: Path = ROOT) -> bool:
    """True if neither the file nor what it imports of the tests names anything that the wheel doesn't bring."""
    seen: set[Path] = set()
    waiting = [path]
    while waiting:
        file = waiting.pop()
        seen.add(file)
        for module in named(file):
            if module.partition(".")[0] in NOT_OF_THE_SDK:
                return False
            helper = root.joinpath(*module.split(".")).with_suffix(".py")
            if module.startswith("tests.") and helper.is_file() and helper not in seen:
                waiting.append(helper)
    return True


def sdk_files(root: Path = ROOT) -> list[Path]:
    """Test files, and what they share, that need the SDK alone."""
    folders = [root / "tests", *(root / "tests" / ring for ring in RINGS)]
    return [path for folder in folders for path in sorted(folder.glob("*.py")) if needs_the_sdk_alone(path, root)]


def copy_sdk_tests(folder: Path, root: Path = ROOT) -> None:
    """Put them into a folder of their own, where nothing of the checkout can be imported by mistake."""
    for path in sdk_files(root):
        copy = folder / path.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    for name in DATA:
        source = root / name
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, folder / name)
