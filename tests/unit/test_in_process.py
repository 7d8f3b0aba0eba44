"""The host inside tritonserver is compiled once, and its absence has a reason that says what to do."""

from __future__ import annotations

import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from scripts import in_process


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("CC", raising=False)
    return tmp_path / "cache"


def test_it_is_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    library = in_process.host()
    assert library.read_bytes().startswith(b"\x7fELF")

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("compiled again")

    monkeypatch.setattr(subprocess, "run", never)
    assert in_process.host() == library


def test_the_compiler_has_nothing_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_process, "_FLAGS", (*in_process._FLAGS, "-Werror"))
    assert in_process.host().is_file()


def test_it_exports_what_triton_looks_for_and_nothing_else() -> None:
    symbols = subprocess.run(
        ["nm", "--dynamic", "--defined-only", str(in_process.host())], capture_output=True, text=True, check=True
    ).stdout.split()[2::3]
    parts = ("Initialize", "ModelInitialize", "ModelFinalize")
    instance = ("ModelInstanceInitialize", "ModelInstanceFinalize", "ModelInstanceExecute")
    assert sorted(symbols) == sorted(f"TRITONBACKEND_{name}" for name in (*parts, *instance))


def test_without_a_compiler_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(in_process.NoHost, match=r"no C compiler .*apt-get install gcc"):
        in_process.host()


def test_without_pythons_headers_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    with pytest.raises(in_process.NoHost, match="apt-get install python3-dev"):
        in_process.host()


@pytest.mark.parametrize(
    ("compiler", "message"), [("false", "false failed: it wrote nothing"), ("/nowhere/cc", "/nowhere/cc can't be run")]
)
def test_a_compiler_that_fails_is_named(
    monkeypatch: pytest.MonkeyPatch, cache: Path, compiler: str, message: str
) -> None:
    monkeypatch.setenv("CC", compiler)
    with pytest.raises(in_process.NoHost, match=message):
        in_process.host()
    assert not list(cache.rglob("*.so"))


def test_a_cache_that_cant_be_written_is_named(cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    with pytest.raises(in_process.NoHost, match="can't be written"):
        in_process.host()


def test_it_is_put_beside_each_model(tmp_path: Path) -> None:
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "model.py").touch()
    (tmp_path / "none").mkdir()
    in_process.install(tmp_path)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*") if "cache" not in path.parts) == [
        "in_process/triton_python_backend_utils.py",
        "some/libtriton_some.so",
        "some/model.py",
    ]


def test_one_that_was_compiled_beforehand_needs_no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    library = in_process.host().rename(tmp_path / "host.so")
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv(in_process.COMPILED, str(library))
    assert in_process.host() == library
    library.unlink()
    with pytest.raises(in_process.NoHost, match=r"TRITONCLAS_IN_PROCESS is \S+, which isn't there"):
        in_process.host()
