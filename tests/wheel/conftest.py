"""The wheel, built as pip builds it, and an environment that has nothing but it."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., str]

#: Seconds for a step that may have to download: the index may be far away.
LONGEST_STEP_S = 600


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test waits for downloads of them all."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(3 * LONGEST_STEP_S))


def said(*command: str | Path, folder: Path) -> str:
    """What a command prints, started where nothing of the checkout can be imported by mistake."""
    kept = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "MYPYPATH"}}
    done = subprocess.run(
        command, cwd=folder, env=kept, capture_output=True, text=True, timeout=LONGEST_STEP_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder, not in the checkout."""
    return tmp_path_factory.mktemp("outside")


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Builds a wheel of a source folder or archive, with the build backend that its pyproject.toml names."""

    def built(source: Path) -> Path:
        folder = tmp_path_factory.mktemp("built")
        said(sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", folder, source, folder=folder)
        (wheel,) = folder.glob("*.whl")
        return wheel

    return built


@pytest.fixture(scope="session")
def wheel(root: Path, build: Callable[[Path], Path]) -> Path:
    """The wheel of this checkout."""
    return build(root)


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the commands of a fresh environment in which the wheel was installed as anybody would."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=True)
    said(folder / "bin" / "python", "-m", "pip", "install", "--quiet", wheel, folder=folder)
    return folder / "bin"


@pytest.fixture(scope="session")
def python(installed: Path, outside: Path) -> Run:
    """What a program prints in that environment; it sees neither the current folder nor the user's packages."""
    return lambda program: said(installed / "python", "-I", "-c", program, folder=outside)
