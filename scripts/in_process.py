"""The host that runs model.py inside tritonserver (backends/in_process), compiled for this Python and kept."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path

from platformdirs import user_cache_path

from scripts import preflight

SOURCES = Path(__file__).resolve().parents[1] / "backends" / "in_process"

#: What is looked for where CC isn't set.
_COMPILERS = ("cc", "gcc", "clang")
_FLAGS = ("-std=c11", "-O2", "-Wall", "-Wextra", "-fPIC", "-shared", "-fvisibility=hidden", "-pthread")
_TIMEOUT_S = 120


#: The environment variable that tells the host which Python it is, and so which virtual environment's modules it has.
PYTHON = "TRITONCLAS_PYTHON"
#: The one that names a host compiled beforehand, by the same Python from the same sources, as an image has it.
COMPILED = "TRITONCLAS_IN_PROCESS"


class NoHost(Exception):
    """The host can't be made here; the message says why, and what to do."""


def host() -> Path:
    """The shared library: from the user's cache, compiled on first use, in half a second. NoHost if that fails."""
    if compiled := os.environ.get(COMPILED):
        return _compiled(Path(compiled))
    include = Path(sysconfig.get_path("include"))
    if not (include / "Python.h").is_file():
        raise NoHost("Python's headers aren't there (Debian and Ubuntu: apt-get install python3-dev)")
    compiler = _compiler()
    sources = sorted(SOURCES.glob("*.c"))
    library = user_cache_path("tritonclas") / "in_process" / f"{_key(compiler, include)}.so"
    try:
        if not library.is_file():
            library.parent.mkdir(parents=True, exist_ok=True)
            build([f"-I{include}", *map(str, sources), str(preflight.libpython()), "-ldl"], library)
    except OSError as error:
        raise NoHost(f"{library.parent} can't be written: {error.strerror}") from error
    return library


def _compiled(library: Path) -> Path:
    if not library.is_file():
        raise NoHost(f"{COMPILED} is {library}, which isn't there; name it, or unset it")
    return library


def build(arguments: Sequence[str], library: Path) -> None:
    """Compile a backend of Triton, `arguments` being its sources and what they need. NoHost if that fails.

    It is compiled into a file that takes its name when it is whole.
    """
    command = [*_compiler(), *_FLAGS, *arguments]
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        made = Path(folder, library.name)
        try:
            subprocess.run([*command, "-o", str(made)], check=True, capture_output=True, text=True, timeout=_TIMEOUT_S)
        except subprocess.CalledProcessError as error:
            raise NoHost(
                f"{command[0]} failed: {(error.stderr.strip() or 'it wrote nothing').splitlines()[-1]}"
            ) from error
        except (FileNotFoundError, PermissionError, subprocess.TimeoutExpired) as error:
            raise NoHost(f"{command[0]} can't be run: {error}") from error
        made.rename(library)


def install(backends: Path) -> None:
    """Make the backends of a backend folder that have a model.py run inside tritonserver. NoHost as `host`.

    Triton prefers `libtriton_<name>.so` to model.py, which the library runs.
    """
    library = host()
    shutil.copytree(
        SOURCES, backends / SOURCES.name, ignore=lambda _, names: [n for n in names if not n.endswith(".py")]
    )
    for model in backends.glob("*/model.py"):
        shutil.copy2(library, model.with_name(f"libtriton_{model.parent.name}.so"))


def _compiler() -> list[str]:
    if named := shlex.split(os.environ.get("CC", "")):
        return named
    for name in _COMPILERS:
        if path := shutil.which(name):
            return [path]
    raise NoHost("there is no C compiler (Debian and Ubuntu: apt-get install gcc)")


def _key(compiler: Sequence[str], include: Path) -> str:
    """All that the library depends on, in a word."""
    digest = hashlib.sha256("\n".join([*compiler, *_FLAGS, str(include), sys.version]).encode())
    for path in sorted(SOURCES.glob("*.[ch]")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:32]
