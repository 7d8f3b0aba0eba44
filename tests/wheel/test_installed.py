"""What pip installs with the SDK, and what importing it brings along."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

import tritonclas
from tests.wheel.conftest import Run, said

#: Heavy, needing a display, or of the server's side. opencv-python beside opencv-python-headless breaks both.
UNWANTED = re.compile(
    r"paddle.*|locust|gevent|nvidia-.*|opencv-(contrib-)?python(-headless)?|torch.*|onnx.*|ray|pandas|pyarrow|tensorflow"
)
WANTED = {"opencv-python-headless"}

THIRD_PARTY = """
import sys, sysconfig
before = set(sys.modules)
{statement}
packages = sysconfig.get_paths()["purelib"]
new = (module for name, module in sys.modules.items() if name not in before)
files = (getattr(module, "__file__", None) or "" for module in new)
print(*{{file[len(packages) + 1:].split("/")[0].split(".")[0] for file in files if file.startswith(packages)}})
"""


def brought(python: Run, statement: str) -> set[str]:
    """Third-party packages of which a statement imports something."""
    return set(python(THIRD_PARTY.format(statement=statement)).split())


def test_nothing_unwanted_is_installed(python: Run) -> None:
    program = (
        "from importlib.metadata import distributions; print(*(each.metadata['Name'] for each in distributions()))"
    )
    names = {canonicalize_name(name) for name in python(program).split()}
    assert {"tritonclas", "tritonclient", "grpcio", *WANTED} <= names
    assert not {name for name in names if UNWANTED.fullmatch(name)} - WANTED


def test_it_is_the_wheel_that_is_imported(python: Run, installed: Path) -> None:
    assert Path(python("import tritonclas; print(tritonclas.__file__)").strip()).is_relative_to(installed.parent)


@pytest.mark.parametrize("name", tritonclas.__all__)
def test_public_names_can_be_imported(python: Run, name: str) -> None:
    python(f"from tritonclas import {name}")


def test_every_module_can_be_imported(python: Run) -> None:
    python(
        "import pkgutil, tritonclas, importlib\n"
        "for module in pkgutil.walk_packages(tritonclas.__path__, 'tritonclas.'): importlib.import_module(module.name)"
    )


def test_the_package_alone_imports_nothing_else(python: Run) -> None:
    assert brought(python, "import tritonclas") == {"tritonclas"}


def test_preprocessing_needs_no_grpc(python: Run) -> None:
    """Triton's Python backend imports it in every instance."""
    assert brought(python, "import tritonclas.preprocess") <= {"tritonclas", "numpy", "cv2", "PIL", "simplejpeg"}


def test_the_clients_import_what_they_need(python: Run) -> None:
    found = brought(python, "from tritonclas import AsyncClassifier, Classifier, ModelServer")
    assert {"grpc", "tritonclient", "numpy", "cv2", "PIL"} <= found
    assert not found & {"rich", "click", "pygments", "requests", "urllib3", "aiohttp", "gevent", "opentelemetry"}


def test_its_data_is_there(python: Run) -> None:
    program = "from tritonclas.published import imagenet_labels, published_models; print(len(imagenet_labels()))"
    assert python(program).strip() == "1000"


def test_its_command_helps(installed: Path, outside: Path) -> None:
    assert "Classify pictures" in said(installed / "tritonclas", "--help", folder=outside)
