"""Graphs as ONNX Runtime has optimised them, kept in the user's cache: loaded in an instant, and one copy in memory.

The weights lie in a file of their own, which is mapped into memory, so that all sessions, also of other processes,
have the same pages. ONNX Runtime lays them out for the processor, whose flags are part of an entry's name.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import onnxruntime as ort
from platformdirs import user_cache_path

#: The least recently used go first; ResNeXt101_32x48d_wsl has 3.3 GB.
LARGEST_CACHE_BYTES = 8 * 2**30
_SMALLEST_SHARED_BYTES = 1024
_MODEL, _WEIGHTS = "model.onnx", "weights.bin"
_REWRITING = Path(__file__).with_name("squeeze_excite.py")


def session(path: Path, options: ort.SessionOptions, *, one_by_one: bool = False) -> ort.InferenceSession:
    """A session for the model at `path`, with its optimised graph; with the model itself where there is no cache.

    With `one_by_one` it is for one image at a time, and may be faster (squeeze_excite.py).
    """
    cache = user_cache_path("tritonclas") / "onnxruntime"
    entry = cache / _key(path, options, one_by_one=one_by_one)
    try:
        if not (entry / _MODEL).is_file():
            _make(path, options, entry, one_by_one=one_by_one)
            ctypes.CDLL(None).malloc_trim(0)  # what that took, twice the model, would stay this process's
            _evict(cache, LARGEST_CACHE_BYTES, keep=entry)
        os.utime(entry)
        return _open(entry / _MODEL, options)
    except Exception as error:  # noqa: BLE001  ONNX Runtime raises its own kinds; what is wrong with a model, it says below
        print(f"no optimised graph of {path} in the cache: {error}", file=sys.stderr)
        shutil.rmtree(entry, ignore_errors=True)
        return _open(path, options)


def _open(path: Path, options: ort.SessionOptions) -> ort.InferenceSession:
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _key(path: Path, options: ort.SessionOptions, *, one_by_one: bool) -> str:
    """Model (its files' size, time and place), ONNX Runtime's version, how much it optimises, processor, rewriting."""
    parts: list[object] = [path.resolve(), ort.__version__, options.graph_optimization_level, _processor()]
    if one_by_one:
        parts.append(_REWRITING.read_text(encoding="utf-8"))
    for file in sorted(path.parent.iterdir()):
        stat = file.stat()
        parts += [file.name, stat.st_size, stat.st_mtime_ns, stat.st_ino]
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:32]


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")


def _make(path: Path, options: ort.SessionOptions, entry: Path, *, one_by_one: bool) -> None:
    """Have it optimised into a folder that takes its name when it is whole; whoever is first wins."""
    entry.parent.mkdir(parents=True, exist_ok=True)
    with _temporary(entry.parent) as folder:
        saving = ort.SessionOptions()
        saving.graph_optimization_level = options.graph_optimization_level
        saving.intra_op_num_threads = 1
        saving.log_severity_level = 3  # it warns that the graph is for this processor only
        saving.optimized_model_filepath = str(folder / _MODEL)
        saving.add_session_config_entry("session.optimized_model_external_initializers_file_name", _WEIGHTS)
        saving.add_session_config_entry(
            "session.optimized_model_external_initializers_min_size_in_bytes", str(_SMALLEST_SHARED_BYTES)
        )
        ort.InferenceSession(str(path), saving, providers=["CPUExecutionProvider"])
        if one_by_one:
            _rewrite(folder / _MODEL, path)
        with contextlib.suppress(OSError):  # another process was first
            folder.rename(entry)
    if not (entry / _MODEL).is_file():
        raise FileNotFoundError(f"nothing was written to {entry}")


def _rewrite(graph: Path, model: Path) -> None:
    if b"ReorderInput" not in graph.read_bytes():
        return
    try:
        from squeeze_excite import rewrite  # noqa: PLC0415  ONNX takes a while to load, and is needed once a model

        rewrite(graph)
    except Exception as error:  # noqa: BLE001  it works on what ONNX Runtime doesn't promise
        print(f"squeeze-and-excitation of {model} stays as ONNX Runtime has it: {error}", file=sys.stderr)


@contextlib.contextmanager
def _temporary(parent: Path) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=".new-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _evict(cache: Path, largest: int, keep: Path) -> None:
    """Remove the entries that weren't used for the longest time, until the others fit. Who has one mapped keeps it."""
    entries = sorted((entry for entry in cache.iterdir() if entry != keep), key=lambda entry: -entry.stat().st_mtime)
    size = _size(keep)
    for entry in entries:
        size += _size(entry)
        if size > largest:
            shutil.rmtree(entry, ignore_errors=True)


def _size(entry: Path) -> int:
    return sum(file.stat().st_size for file in entry.glob("*"))
