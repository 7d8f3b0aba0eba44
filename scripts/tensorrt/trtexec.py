"""TensorRT's own command for building plans, trtexec: its command line, and running it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from tritonclient.grpc import model_config_pb2 as pb

from scripts import processes
from scripts.console import progress_console
from scripts.errors import ScriptError
from scripts.files import unwritable
from scripts.profiles import TYPICAL_BATCH, Precision
from scripts.tensorrt.gpus import IMAGE

#: Where trtexec is in NVIDIA's image, which doesn't have it on the PATH.
IN_IMAGE = Path("/usr/src/tensorrt/bin/trtexec")

_VERSION = re.compile(r"\[TensorRT v(\d+)\]")
_HELP_TIMEOUT_S = 120
_GRACE_S = 10
_POLL_S = 0.2
_LINES_SHOWN = 8


def find(given: Path | None) -> Path:
    """The trtexec to use: the one given, on the PATH, or the image's; ScriptError if there is none."""
    on_path = shutil.which("trtexec")
    for candidate in [given] if given else [*([Path(on_path)] if on_path else []), IN_IMAGE]:
        if os.access(candidate, os.X_OK) and candidate.is_file():
            return candidate.absolute()
    where = f"{given} isn't a program" if given else "trtexec isn't on this machine"
    raise ScriptError(f"{where}; run this in {IMAGE}, or name TensorRT's own with --trtexec")


def tensorrt_version(trtexec: Path) -> str:
    """The version of TensorRT that trtexec belongs to, as 10.4.0; ScriptError if it doesn't say.

    It stands in the first line of whatever trtexec prints: v100400 is 10.4.0. Before TensorRT 10 v8601 was 8.6.1.
    """
    try:
        command = [str(trtexec), "--help"]
        printed = subprocess.run(command, capture_output=True, text=True, timeout=_HELP_TIMEOUT_S, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        raise ScriptError(f"{trtexec} doesn't run ({error}); run this in {IMAGE}") from error
    found = _VERSION.search(printed.stdout + printed.stderr)
    if not found:
        said = (printed.stderr or printed.stdout).strip().splitlines()[-1:] or ["nothing"]
        raise ScriptError(f"{trtexec} doesn't say which TensorRT it belongs to, but: {said[0]}; run this in {IMAGE}")
    number = int(found[1])
    major = 10_000 if number >= 100_000 else 1_000
    return f"{number // major}.{number % major // 100}.{number % 100}"


def shapes(config: pb.ModelConfig) -> list[str]:
    """trtexec's options for the batch sizes that a network's configuration asks for; ScriptError if it has none."""
    if config.max_batch_size < 1 or len(config.input) != 1:
        raise ScriptError(f"{config.name} must have one input and a max_batch_size of at least 1 to become a plan")
    picture = "x".join(str(size) for size in config.input[0].dims)
    sizes = {"min": 1, "opt": min(TYPICAL_BATCH, config.max_batch_size), "max": config.max_batch_size}
    return [f"--{bound}Shapes={config.input[0].name}:{size}x{picture}" for bound, size in sizes.items()]


def arithmetic(precision: Precision) -> str:
    """trtexec's option for the precision. TF32, which TensorRT uses by default where a GPU has it, isn't FP32."""
    return "--fp16" if precision == "fp16" else "--noTF32"


def workspace(mib: int) -> str:
    """trtexec's option for the GPU memory that a layer may use while it computes; by default it is all there is."""
    return f"--memPoolSize=workspace:{mib}"


@dataclass(frozen=True)
class Build:
    """A call of trtexec; `gpu` is a UUID, since trtexec's and nvidia-smi's numbers can differ."""

    trtexec: Path
    onnx: Path
    plan: Path
    options: Sequence[str]
    timing_cache: Path | None = None
    gpu: str | None = None

    @property
    def command(self) -> list[str]:
        """The program and its arguments."""
        return [
            str(self.trtexec),
            f"--onnx={self.onnx}",
            f"--saveEngine={self.plan}",
            *self.options,
            *([f"--timingCacheFile={self.timing_cache}"] if self.timing_cache else []),
            "--skipInference",
        ]

    def __str__(self) -> str:
        """As it would be typed in a shell."""
        prefix = f"CUDA_VISIBLE_DEVICES={self.gpu} " if self.gpu else ""
        return prefix + shlex.join(self.command)

    def run(self, log: Path, timeout_s: float, shown: str) -> None:
        """Build the plan, with a spinner that says `shown`; ScriptError, with its last lines, unless it succeeds.

        `log` gets all that it prints. It has ended when this returns, whatever happens.
        """
        environment = os.environ | ({"CUDA_VISIBLE_DEVICES": self.gpu} if self.gpu else {})
        if self.timing_cache:
            _make_folder(self.timing_cache.parent)
        lines: deque[str] = deque(maxlen=_LINES_SHOWN)
        with _created(log) as file:
            try:
                process = processes.start(self.command, environment)
            except OSError as error:
                raise ScriptError(f"{self.trtexec} can't be started ({error.strerror}); run this in {IMAGE}") from error
            reader = threading.Thread(target=_copy, args=(process, file, lines), daemon=True)
            reader.start()
            try:
                _wait(process, timeout_s, shown)
            finally:
                processes.stop(process, _GRACE_S)
                reader.join(_GRACE_S)
        if process.returncode or not _has_content(self.plan):
            raise ScriptError(_failure(process.returncode, lines, log))


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from error


def _created(log: Path) -> TextIO:
    _make_folder(log.parent)
    try:
        return log.open("w", encoding="utf-8")
    except OSError as error:
        raise unwritable(log, error) from error


def _has_content(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def _copy(process: subprocess.Popen[str], log: TextIO, lines: deque[str]) -> None:
    assert process.stdout
    with process.stdout as output:
        for line in output:
            log.write(line)
            log.flush()
            lines.append(line.rstrip())


def _wait(process: subprocess.Popen[str], timeout_s: float, shown: str) -> None:
    start = time.monotonic()
    with progress_console.status(shown) as status:
        while process.poll() is None:
            elapsed = time.monotonic() - start
            if elapsed > timeout_s:
                raise ScriptError(f"trtexec hadn't finished after {timeout_s:g} s; give it longer with --timeout")
            status.update(f"{shown} ({elapsed:.0f} s)")
            time.sleep(_POLL_S)


def _failure(status: int, lines: Sequence[str], log: Path) -> str:
    ended = f"ended with status {status}" if status else "wrote no plan"
    return "\n  ".join([f"trtexec {ended}; all that it said is in {log}:", *(line for line in lines if line)])
