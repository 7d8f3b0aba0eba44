"""The command's arguments; tests/wire has what it does with a server."""

from __future__ import annotations

from importlib import metadata

import pytest
from click.testing import Result

from tests.runner import command_runner
from tritonclas.cli import main

NOBODY = ("--url", "localhost:1")  # a port where nothing listens: whatever reaches the network fails


def run(*arguments: str) -> Result:
    return command_runner().invoke(main, arguments)


@pytest.mark.parametrize(
    "command", [(), ("classify",), ("models",), ("stats",), ("load",), ("unload",), ("ready",)], ids=str
)
def test_help(command: tuple[str, ...]) -> None:
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert "Usage: " in result.output
    example = f"Example:\n    tritonclas {command[0]} " if command else "Commands:"
    assert example in result.output


def test_version() -> None:
    assert metadata.version("tritonclas") in run("--version").output


USAGE_ERRORS = {
    "no picture": (["classify", "--model", "X"], "Missing argument 'IMAGE|FOLDER...'"),
    "no model": (["classify", "cat.jpg"], "Missing option '--model'"),
    "no classes": (["classify", "cat.jpg", "--model", "X", "--top-k", "0"], "0 is not in the range"),
    "top-k of words": (["classify", "cat.jpg", "--model", "X", "--top-k", "all"], "'all' is not a valid integer"),
    "no time": (["classify", "cat.jpg", "--model", "X", "--timeout", "0"], "0.0 is not in the range"),
    "where": (["classify", "cat.jpg", "--model", "X", "--preprocess", "gpu"], "'gpu' is not one of"),
    "files aren't crops": (["classify", "cat.jpg", "--model", "X", "--preprocess", "none"], "'none' is not one of"),
    "unknown command": (["clasify"], "No such command 'clasify'"),
    "unknown option": (["models", "--jsn"], "No such option"),
}


@pytest.mark.parametrize(("arguments", "why"), USAGE_ERRORS.values(), ids=USAGE_ERRORS)
def test_usage_errors(arguments: list[str], why: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert why in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("url", ["http://localhost:8000", "localhost", ":8001", "localhost:grpc", "localhost:", ""])
@pytest.mark.parametrize("command", [("classify", "cat.jpg", "--model", "X"), ("models",), ("stats",)], ids=str)
def test_a_url_that_is_no_endpoint(command: tuple[str, ...], url: str) -> None:
    result = run(*command, "--url", url)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"Error: {url!r} isn't a gRPC endpoint; give HOST:PORT, such as localhost:8001\n"


@pytest.mark.parametrize(
    "odd",
    [("--timeout", "inf"), ("--timeout", "nan"), ("--timeout", "1e300"), ("--top-k", str(2**70))],
    ids=" ".join,
)
def test_odd_numbers_make_no_traceback(odd: tuple[str, str], examples: dict[str, object]) -> None:
    result = run("classify", str(examples["cat"]), "--model", "X", *NOBODY, *odd)
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code in (1, 2)


def test_a_picture_that_is_not_there_needs_no_server() -> None:
    result = run("classify", "missing.jpg", "--model", "X", *NOBODY)
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "Error: missing.jpg: no such file\n")


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["table", "JSON"])
def test_a_file_name_that_is_not_utf8_makes_no_traceback(options: list[str]) -> None:
    result = run("classify", "caf\udce9.jpg", "--model", "X", *NOBODY, *options)
    assert isinstance(result.exception, SystemExit), result.exception
    assert "no such file" in result.stdout + result.stderr
