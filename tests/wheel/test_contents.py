"""The wheel holds the SDK alone, and says of itself what is so."""

from __future__ import annotations

import configparser
import hashlib
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from tests.wheel.conftest import said

DEPENDENCIES = {"click", "grpcio", "numpy", "opencv-python-headless", "pillow", "rich", "simplejpeg", "tritonclient"}
EXTRAS = {"heif": {"pillow-heif"}, "parquet": {"pyarrow"}, "tracing": {"opentelemetry-api"}}


@pytest.fixture(scope="module")
def described(wheel: Path) -> metadata.Distribution:
    """What the wheel says of itself."""
    (found,) = metadata.distributions(path=[str(wheel)])
    return found


def requirements(described: metadata.Distribution) -> list[Requirement]:
    return [Requirement(line) for line in described.requires or []]


def test_it_holds_the_sdk_alone(root: Path, wheel: Path) -> None:
    package = root / "client" / "tritonclas"
    files = {path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    information = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"}
    names = zipfile.ZipFile(wheel).namelist()
    assert len(names) == len(set(names))
    assert set(names) == {
        *(path.relative_to(root / "client").as_posix() for path in files),
        *(f"{'-'.join(wheel.name.split('-')[:2])}.dist-info/{name}" for name in information),
    }
    assert "tritonclas/py.typed" in names


def test_it_is_for_every_python_from_3_10_on(wheel: Path, described: metadata.Distribution) -> None:
    assert wheel.name.endswith("-py3-none-any.whl")
    assert SpecifierSet(described.metadata["Requires-Python"]) == SpecifierSet(">=3.10")
    named = set(described.metadata.get_all("Classifier") or [])
    assert {f"Programming Language :: Python :: 3.{minor}" for minor in (10, 11, 12, 13)} <= named
    assert "Typing :: Typed" in named


def test_it_needs_these_and_no_more(described: metadata.Distribution) -> None:
    always = [each for each in requirements(described) if each.marker is None]
    assert {each.name for each in always} == DEPENDENCIES
    assert all(each.specifier for each in always), "a lowest version is missing"


def test_its_extras_need_these(described: metadata.Distribution) -> None:
    assert set(described.metadata.get_all("Provides-Extra") or []) == set(EXTRAS)
    for extra, names in EXTRAS.items():
        wanted = [each for each in requirements(described) if each.marker and each.marker.evaluate({"extra": extra})]
        assert {each.name for each in wanted} == names


def test_its_licence_is_with_it(root: Path, wheel: Path, described: metadata.Distribution) -> None:
    assert described.metadata["License-Expression"] == "Apache-2.0"
    assert described.metadata.get_all("License-File") == ["LICENSE"]
    (name,) = (name for name in zipfile.ZipFile(wheel).namelist() if name.endswith("licenses/LICENSE"))
    assert zipfile.ZipFile(wheel).read(name) == (root / "LICENSE").read_bytes()


def test_its_one_command(described: metadata.Distribution) -> None:
    parsed = configparser.ConfigParser()
    parsed.read_string(described.read_text("entry_points.txt") or "")
    assert {section: dict(parsed[section]) for section in parsed.sections()} == {
        "console_scripts": {"tritonclas": "tritonclas.cli:main"}
    }


def test_its_description_is_the_readme(root: Path, described: metadata.Distribution) -> None:
    assert described.metadata["Description-Content-Type"] == "text/markdown"
    assert str(described.metadata.get_payload()).strip() == (root / "README.md").read_text(encoding="utf-8").strip()


@pytest.fixture(scope="module")
def sdist(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source archive; pip makes none, so that the backend is asked itself."""
    backend, folder = tmp_path_factory.mktemp("backend"), tmp_path_factory.mktemp("sdist")
    said(sys.executable, "-m", "pip", "install", "--quiet", "--target", backend, "hatchling", folder=folder)
    program = f"import sys; sys.path.insert(0, {str(backend)!r}); from hatchling.build import build_sdist as build"
    subprocess.run([sys.executable, "-c", f"{program}; build({str(folder)!r})"], cwd=root, check=True)
    (archive,) = folder.glob("*.tar.gz")
    return archive


def test_the_source_archive_holds_what_the_wheel_is_made_of(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        paths = [Path(*Path(name).parts[1:]) for name in archive.getnames()]
    assert {path.parts[0] for path in paths} == {
        *("client", "CHANGELOG.md", "LICENSE", "README.md"),
        *("pyproject.toml", "PKG-INFO", ".gitignore"),
    }
    assert {path.parts[1] for path in paths if path.parts[0] == "client"} == {"tritonclas"}


def test_the_source_archive_makes_the_same_wheel(sdist: Path, wheel: Path, build: Callable[[Path], Path]) -> None:
    made = build(sdist)
    assert made.name == wheel.name
    assert hashlib.sha256(made.read_bytes()).hexdigest() == hashlib.sha256(wheel.read_bytes()).hexdigest()
