"""Try the wheel on each Python, with the lowest and the newest versions of its dependencies."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import click
from rich.table import Table

from scripts.console import progress_console
from scripts.errors import ScriptError
from scripts.wheel.cell import RESOLUTIONS, Cell, Outcome
from scripts.wheel.sdk_tests import ROOT, copy_sdk_tests
from scripts.wheel.uv import find_python, uv
from tritonclas._tables import plain_console
from tritonclas.cli import example

#: Those that pyproject.toml's classifiers name.
PYTHONS = ("3.10", "3.11", "3.12", "3.13")

SHOWN = {
    "numpy": "numpy",
    "opencv": "opencv-python-headless",
    "pillow": "pillow",
    "grpcio": "grpcio",
    "protobuf": "protobuf",
    "tritonclient": "tritonclient",
    "simplejpeg": "simplejpeg",
}


def table(outcomes: Iterable[Outcome]) -> Table:
    """A row for each cell."""
    shown = Table("Python", "versions", *SHOWN, box=None)
    for column in ("passed", "failed", "import s"):
        shown.add_column(column, justify="right")
    for each in outcomes:
        versions = [each.versions.get(package, "-") for package in SHOWN.values()]
        import_s = "-" if each.import_s is None else f"{each.import_s:.2f}"
        counts = (str(each.passed), failures(each))
        shown.add_row(each.python, each.resolution.removesuffix("-direct"), *versions, *counts, import_s)
    return shown


def failures(outcome: Outcome) -> str:
    """How many tests failed, or that it didn't come to that."""
    if outcome.fault and not outcome.failed:
        return "stopped" if outcome.versions else "not installed"
    return str(outcome.failed)


def cells(interpreters: dict[str, Path], folder: Path) -> Iterator[Cell]:
    """Each Python with each resolution."""
    for version, interpreter in interpreters.items():
        for resolution in RESOLUTIONS:
            yield Cell(version, interpreter, resolution, folder / f"{version}-{resolution}", folder / "tests")


def tried(interpreters: dict[str, Path], folder: Path) -> list[Outcome]:
    """Build the wheel and try it in every cell, one after the other."""
    uv("build", "--quiet", "--wheel", "--out-dir", str(folder / "dist"), str(ROOT))
    (wheel,) = (folder / "dist").glob("*.whl")
    copy_sdk_tests(folder / "tests")
    outcomes = []
    for cell in cells(interpreters, folder):
        with progress_console.status(f"Python {cell.version}, {cell.resolution} versions"):
            outcomes.append(cell.outcome(wheel))
    return outcomes


@click.command(epilog=example("python -m scripts.wheel --python 3.12 --python 3.13"))
@click.option("--python", "versions", multiple=True, type=click.Choice(PYTHONS), help="Only this one; may be repeated.")
def main(versions: tuple[str, ...]) -> None:
    """Install the SDK's wheel on each Python and run the SDK's tests there.

    With the lowest versions of its dependencies that pyproject.toml allows, and with the newest. Pythons are those on
    PATH and pyenv's; one that this machine doesn't have is left out, and said so. Needs uv.
    """
    found = {version: find_python(version) for version in versions or PYTHONS}
    interpreters = {version: path for version, path in found.items() if path}
    if not interpreters:
        raise ScriptError(f"there is no Python {', '.join(found)} on PATH or in pyenv")
    with tempfile.TemporaryDirectory() as folder:
        outcomes = tried(interpreters, Path(folder))
    console = plain_console()
    console.width = max(console.width, 160)
    console.print(table(outcomes))
    console.print("import s: from tritonclas import Classifier, median of 5 fresh interpreters, without their start-up")
    for version in found.keys() - interpreters.keys():
        console.print(f"Python {version} wasn't tried: this machine has none")
    report_faults(outcomes)


def report_faults(outcomes: Iterable[Outcome]) -> None:
    """Exit with 1 if there are any, after saying what."""
    faulty = [each for each in outcomes if each.fault]
    for each in faulty:
        click.echo(f"\nPython {each.python}, {each.resolution}:\n{each.fault}", err=True)
    if faulty:
        sys.exit(1)


if __name__ == "__main__":
    main()
