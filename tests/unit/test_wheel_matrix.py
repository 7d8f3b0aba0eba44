"""Which tests run on a wheel alone, and how the matrix is told. `make wheel` runs it; tests/wheel tries one cell."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from scripts.errors import ScriptError
from scripts.wheel import __main__ as command
from scripts.wheel import uv as uv_module
from scripts.wheel.cell import Cell, Outcome
from scripts.wheel.sdk_tests import ROOT, copy_sdk_tests, needs_the_sdk_alone, sdk_files

SDKS = [path.relative_to(ROOT / "tests").as_posix() for path in sdk_files()]
GOOD = Outcome(
    python="3.12", resolution="lowest-direct", versions={"numpy": "1.26.0"}, passed=998, failed=0, import_s=0.1534
)


@pytest.mark.parametrize(
    "name",
    ["unit/test_core.py", "unit/test_preprocess.py", "unit/test_twins.py", "wire/test_classifier.py", "conftest.py"],
)
def test_the_sdks_tests_are_among_them(name: str) -> None:
    assert name in SDKS


@pytest.mark.parametrize(
    "name",
    [
        "unit/conftest.py",  # imports scripts
        "unit/test_session_options.py",  # needs ONNX Runtime
        "unit/test_fetch.py",
        "wire/test_loadtest.py",  # runs -m loadtest.sweep
    ],
)
def test_others_are_not(name: str) -> None:
    assert name not in SDKS


def test_every_test_that_names_nothing_but_the_sdk_is_among_them() -> None:
    for path in (ROOT / "tests" / "unit").glob("test_*.py"):
        text = path.read_text(encoding="utf-8")
        words = ("scripts", "loadtest", "backends", "onnx", "tests.unit.")
        if "tritonclas" in text and not any(word in text for word in words):
            assert f"unit/{path.name}" in SDKS


def test_what_a_helper_imports_counts(tmp_path: Path) -> None:
    tests = tmp_path / "tests"
    tests.mkdir()
    (tests / "helper.py").write_text("from scripts import fetch\n")
    (tests / "test_it.py").write_text("from tests.helper import made\n")
    (tests / "test_other.py").write_text("from tests import helper\n")
    (tests / "test_program.py").write_text("COMMAND = ['-m', 'loadtest.sweep']\n")
    (tests / "test_alone.py").write_text("from tritonclas import Classifier\nWORD = 'scripts'\n")
    found = {path.name: needs_the_sdk_alone(path, tmp_path) for path in tests.glob("test_*.py")}
    assert found == {"test_it.py": False, "test_other.py": False, "test_program.py": False, "test_alone.py": True}


def test_nothing_of_the_checkout_but_tests_is_copied(tmp_path: Path) -> None:
    copy_sdk_tests(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"examples", "pyproject.toml", "tests"}


def test_pyenvs_pythons_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "versions" / "3.12.1" / "bin").mkdir(parents=True)
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setenv("PATH", "/usr/bin")
    monkeypatch.setenv("PYTHONPATH", "client")
    cleaned = uv_module.clean_environment()
    assert cleaned["PATH"] == f"{tmp_path}/versions/3.12.1/bin:/usr/bin"
    assert "PYTHONPATH" not in cleaned


def test_without_uv_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    result = CliRunner().invoke(command.main, [])
    assert result.exit_code == 1
    assert "uv isn't there" in result.output
    assert "pip install uv" in result.output


def no_python(*arguments: str) -> str:
    raise ScriptError("uv python find … failed\nerror: No interpreter found for Python 3.13 in search path")


def broken(*arguments: str, folder: Path | None = None) -> str:
    raise ScriptError("uv … failed\nerror: something else")


def empty_wheel(*arguments: str) -> str:
    """Takes the place of `uv build --quiet --wheel --out-dir FOLDER SOURCE`."""
    folder = Path(arguments[4])
    folder.mkdir()
    (folder / "a.whl").touch()
    return ""


def test_a_python_that_is_missing_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uv_module, "uv", no_python)
    assert uv_module.find_python("3.13") is None
    monkeypatch.setattr(uv_module, "uv", broken)
    with pytest.raises(ScriptError, match="something else"):
        uv_module.find_python("3.13")


def run_with(monkeypatch: pytest.MonkeyPatch, outcome: Outcome) -> tuple[int, str]:
    """Exit status and output of the command, every cell of which ends like this; 3.13 isn't there."""
    monkeypatch.setattr(command, "find_python", lambda version: None if version == "3.13" else Path("python"))
    monkeypatch.setattr(command, "uv", empty_wheel)
    monkeypatch.setattr(Cell, "outcome", lambda self, wheel: outcome)
    result = CliRunner().invoke(command.main, ["--python", "3.12", "--python", "3.13"])
    return result.exit_code, result.output


def test_all_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    status, output = run_with(monkeypatch, GOOD)
    assert status == 0
    assert output.count("998") == 2
    assert "Python 3.13 wasn't tried" in output


def test_a_cell_that_fails_makes_it_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    fault = Outcome(python="3.12", resolution="highest", fault="no numpy for it")
    status, output = run_with(monkeypatch, fault)
    assert status == 1
    assert "not installed" in output
    assert "no numpy for it" in output


def test_no_python_at_all_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "find_python", lambda version: None)
    result = CliRunner().invoke(command.main, ["--python", "3.12"])
    assert result.exit_code == 1
    assert "there is no Python 3.12" in result.output


def test_a_step_that_fails_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("scripts.wheel.cell.uv", broken)
    cell = Cell("3.12", Path("python"), "highest", tmp_path / "cell", tmp_path)
    outcome = cell.outcome(tmp_path / "a.whl")
    assert outcome == Outcome(python="3.12", resolution="highest", fault="uv … failed\nerror: something else")


def test_a_row_is_a_cell() -> None:
    console = Console(file=io.StringIO(), width=200)
    console.print(command.table([GOOD]))
    assert console.file.getvalue().splitlines()[1].split() == [
        *("3.12", "lowest", "1.26.0", "-", "-", "-", "-", "-", "-", "998", "0", "0.15")
    ]
