"""What the embedded server needs is checked first, and each lack says what to do."""

from __future__ import annotations

import sys
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from scripts import preflight
from scripts.errors import ServerError
from scripts.preflight import SHARED_MEMORY_BYTES, check_glibc, check_numpy, check_shared_memory

Usage = namedtuple("Usage", "total used free")
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.mark.parametrize("version", ["glibc 2.35", "glibc 2.36", "glibc 2.40.9000", "glibc 3.0"])
def test_glibc_new_enough(version: str) -> None:
    check_glibc(version)


@pytest.mark.parametrize("version", ["glibc 2.34", "glibc 2.9", "glibc 1.99", "musl", "glibc", "glibc x.y", ""])
def test_glibc_too_old(version: str) -> None:
    with pytest.raises(ServerError, match=f"glibc 2.35 or newer.*has {version or 'another C library'};.*container"):
        check_glibc(version)


@pytest.mark.parametrize("version", ["1.24.0", "1.26.4", "1.27.0rc1"])
def test_numpy_old_enough(version: str) -> None:
    check_numpy(version)


@pytest.mark.parametrize("version", ["2.0.0", "2.3.1", "10.0"])
def test_numpy_too_new(version: str) -> None:
    with pytest.raises(ServerError, match=f"not {version}; pip install 'numpy<2'"):
        check_numpy(version)


def free(monkeypatch: pytest.MonkeyPatch, value: int) -> None:
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda folder: Usage(2**40, 0, value))


def test_enough_shared_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    free(monkeypatch, SHARED_MEMORY_BYTES)
    check_shared_memory(Path("/dev/shm"))


def test_too_little_shared_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    free(monkeypatch, 64 * 2**20)
    with pytest.raises(ServerError, match=r"/dev/shm has 64 MiB free and the embedded server needs 128; .*--shm-size"):
        check_shared_memory(Path("/dev/shm"))


def test_no_shared_memory(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match=r"shared memory at .*missing: No such file"):
        check_shared_memory(tmp_path / "missing")


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A nvidia-pytriton without a server in it."""
    monkeypatch.setattr(preflight, "tritonserver", lambda: tmp_path / "pytriton" / "tritonserver")
    return tmp_path


def test_stub_of_this_python(wheel: Path) -> None:
    stub = wheel / "pytriton" / "tritonserver" / "python_backend_stubs" / PYTHON / "triton_python_backend_stub"
    stub.parent.mkdir(parents=True)
    stub.touch()
    assert preflight.stub() == stub


def test_no_stub_of_this_python(wheel: Path) -> None:
    with pytest.raises(ServerError, match=rf"no stub for Python {PYTHON}; use Python 3\.10"):
        preflight.stub()


def test_shared_libraries_lie_beside_the_package(wheel: Path) -> None:
    assert preflight.shared_libraries() == wheel / "nvidia_pytriton.libs"


@pytest.mark.parametrize("spec", [None, type("Spec", (), {"submodule_search_locations": None})])
def test_server_not_installed(monkeypatch: pytest.MonkeyPatch, spec: Any) -> None:
    monkeypatch.setattr(preflight, "find_spec", lambda name: spec)
    with pytest.raises(ServerError, match="isn't installed; run make setup, or pip install nvidia-pytriton"):
        preflight.tritonserver()


def python_at(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let this interpreter be installed in a folder; the name of its library."""
    variables = {"LIBDIR": str(folder / "lib"), "MULTIARCH": "x86_64-linux-gnu"}
    monkeypatch.setattr(preflight.sysconfig, "get_config_var", variables.get)
    monkeypatch.setattr(preflight.sys, "base_prefix", str(folder / "prefix"))
    return f"libpython{PYTHON}.so.1.0"


@pytest.mark.parametrize("place", ["lib", "lib/x86_64-linux-gnu", "prefix/lib"])
def test_libpython_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    name = python_at(tmp_path, monkeypatch)
    (tmp_path / place).mkdir(parents=True)
    (tmp_path / place / name).touch()
    assert preflight.libpython() == tmp_path / place / name


def test_no_libpython(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = python_at(tmp_path, monkeypatch)
    with pytest.raises(ServerError, match=rf"needs {name}.*apt-get install libpython{PYTHON}\).*--enable-shared"):
        preflight.libpython()


LACKS = {
    "glibc": lambda patch: patch.setattr(preflight.os, "confstr", lambda name: None),
    "numpy": lambda patch: patch.setattr(preflight.metadata, "version", {"numpy": "2.1.0"}.get),
    "/dev/shm": lambda patch: free(patch, 0),
    "stub": lambda patch: patch.setattr(preflight, "stub", lambda: pytest.fail("asked for the stub")),
    "libpython": lambda patch: patch.setattr(preflight, "libpython", lambda: pytest.fail("asked for libpython")),
}


@pytest.fixture
def complete(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine that lacks nothing."""
    monkeypatch.setattr(preflight.os, "confstr", lambda name: "glibc 2.36")
    monkeypatch.setattr(preflight.metadata, "version", {"numpy": "1.26.4"}.get)
    free(monkeypatch, 2**30)
    monkeypatch.setattr(preflight, "stub", Path)
    monkeypatch.setattr(preflight, "libpython", Path)
    return monkeypatch


def test_a_complete_machine(complete: pytest.MonkeyPatch) -> None:
    preflight.check()


@pytest.mark.parametrize("lack", LACKS)
def test_everything_is_checked(complete: pytest.MonkeyPatch, lack: str) -> None:
    LACKS[lack](complete)
    with pytest.raises((ServerError, pytest.fail.Exception), match=lack):
        preflight.check()
