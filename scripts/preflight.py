"""What the embedded server needs of a machine, checked before it is started, each with what to do."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from scripts.errors import ServerError

#: The tritonserver binary in nvidia-pytriton's wheel is linked against this glibc.
GLIBC = (2, 35)
#: Tensors go between Triton and its Python backends through shared memory; Docker's default is 64 MiB.
SHARED_MEMORY_BYTES = 128 * 2**20
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  that is where POSIX shared memory lives on Linux


def check() -> None:
    """ServerError, naming what is missing and what to do, if the embedded server can't run here."""
    check_glibc(os.confstr("CS_GNU_LIBC_VERSION") or "")
    check_numpy(metadata.version("numpy"))
    check_shared_memory(SHARED_MEMORY)
    stub()
    libpython()


def check_glibc(version: str) -> None:
    """`version` as confstr gives it: glibc 2.36."""
    try:
        found = tuple(int(part) for part in version.split()[1].split(".")[:2])
    except (IndexError, ValueError):
        found = (0, 0)
    if found < GLIBC:
        raise ServerError(
            f"the embedded server needs glibc {GLIBC[0]}.{GLIBC[1]} or newer (Debian 12, Ubuntu 22.04); "
            f"this machine has {version or 'another C library'}; use the container instead"
        )


def check_numpy(version: str) -> None:
    """numpy 2 in the server's Python backends makes every output tensor come back empty, without an error."""
    if int(version.partition(".")[0]) >= 2:
        raise ServerError(f"the embedded server needs numpy 1.26, not {version}; pip install 'numpy<2'")


def check_shared_memory(folder: Path) -> None:
    """Room for the tensors between Triton and its Python backends."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise ServerError(f"the embedded server needs shared memory at {folder}: {error.strerror}") from error
    if free < SHARED_MEMORY_BYTES:
        raise ServerError(
            f"{folder} has {free // 2**20} MiB free and the embedded server needs {SHARED_MEMORY_BYTES // 2**20}; "
            "in a container start it with --shm-size=1g"
        )


def tritonserver() -> Path:
    """The folder in nvidia-pytriton's wheel that holds the server."""
    spec = find_spec("pytriton")
    if spec is None or not spec.submodule_search_locations:
        raise ServerError("the embedded server isn't installed; run make setup, or pip install nvidia-pytriton==0.7.0")
    return Path(spec.submodule_search_locations[0], "tritonserver")


def shared_libraries() -> Path:
    """The folder with the shared libraries that the wheel brings for the server."""
    return tritonserver().parents[1] / "nvidia_pytriton.libs"


def stub() -> Path:
    """The Python backend's stub for the running Python."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    path = tritonserver() / "python_backend_stubs" / version / "triton_python_backend_stub"
    if not path.is_file():
        raise ServerError(f"the embedded server has no stub for Python {version}; use Python 3.10, 3.11 or 3.12")
    return path


def libpython() -> Path:
    """The running interpreter's shared library, which the stub is linked against.

    Another patch release's standard library would crash the stub, so only this interpreter's own will do.
    """
    name = f"libpython{sys.version_info.major}.{sys.version_info.minor}.so.1.0"
    libdir = Path(sysconfig.get_config_var("LIBDIR") or "/usr/lib")
    folders = (libdir, libdir / (sysconfig.get_config_var("MULTIARCH") or ""), Path(sys.base_prefix, "lib"))
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    short = name.removesuffix(".so.1.0")
    raise ServerError(
        f"the embedded server needs {name}, which this Python doesn't bring; install it "
        f"(Debian and Ubuntu: apt-get install {short}), or use a Python built with --enable-shared"
    )
