"""A model repository on disk: what is in it, and putting weights there so that no reader sees half of them."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from scripts.archive import WeightsKind
from scripts.errors import ScriptError
from scripts.render import LABELS_FILE, ONNX_FILE, config_path, render
from tritonclas.results import SYNTHETIC_LABEL
from tritonclas.zoo import Model, imagenet_labels, is_part, near_matches

VERSION = "1"
_STAGING = ".populate-"


def onnx_path(model: Model, repository: Path) -> Path:
    """Where the model's ONNX file is published."""
    return repository / model.network_name / VERSION / ONNX_FILE


def labels(model: Model, kind: WeightsKind) -> list[str]:
    """The names of the model's classes; of random weights they say just that."""
    if kind == "synthetic":
        return [f"{SYNTHETIC_LABEL} {index}" for index in range(model.classes)]
    return list(imagenet_labels())


@contextlib.contextmanager
def staging(model: Model, repository: Path) -> Iterator[Path]:
    """A folder on the repository's file system, for one process at a time; gone afterwards, whatever happens.

    It lies in the network's folder, where Triton looks at version folders only. What an earlier run left
    there because it was killed is removed.
    """
    folder = repository / model.network_name
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ScriptError(f"another process is populating {model.name} in {repository}; wait for it to end") from None
    with lock:
        for left in folder.glob(f"{_STAGING}*"):
            shutil.rmtree(left)
        with tempfile.TemporaryDirectory(prefix=_STAGING, dir=folder) as scratch:
            yield Path(scratch)


def prepare(model: Model, kind: WeightsKind, repository: Path) -> None:
    """Put there what the model needs beside its weights: configurations, version folders, labels.

    Configurations that are there already stay as they are: they may have been tuned for this machine.
    """
    for path, text in render([model]).items():
        if not (repository / path).exists():
            _write(repository / path, text)
    for name in (model.name, model.preprocess_name, model.network_name):
        (repository / name / VERSION).mkdir(parents=True, exist_ok=True)
    _write(repository / model.network_name / LABELS_FILE, "".join(f"{label}\n" for label in labels(model, kind)))


def publish(model: Model, staged: Path, kind: WeightsKind, repository: Path) -> Path:
    """Move a verified ONNX file, staged on the same file system, to where Triton reads it; that comes last."""
    prepare(model, kind, repository)
    return staged.replace(onnx_path(model, repository))


def _write(path: Path, text: str) -> None:
    """A reader sees the old text or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(path)


def check_servable(name: str, repository: Path, profile: str | None = None) -> None:
    """ScriptError, saying what to do, unless the repository has the model and every file that it needs."""
    if not (repository / config_path(name)).is_file():
        public = sorted(path.parent.name for path in repository.glob("*/config.pbtxt") if not is_part(path.parent.name))
        raise ScriptError(f"{repository} has no model {name!r}; {near_matches(name, public)}")
    config = _config(name, repository, profile)
    for step in config.ensemble_scheduling.step:
        check_servable(step.model_name, repository, profile)
    wanted = config.default_model_filename
    if wanted and not any(path.is_file() for path in (repository / name).glob(f"[0-9]*/{wanted}")):
        raise ScriptError(f"{name} has no {wanted} in {repository} yet; {_how_to_make(name, wanted)}")


def _config(name: str, repository: Path, profile: str | None) -> pb.ModelConfig:
    """The configuration that Triton reads: the profile's where there is one."""
    path = repository / name / "configs" / f"{profile}.pbtxt"
    if not path.is_file():
        path = repository / config_path(name)
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), pb.ModelConfig())
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise ScriptError(f"{path} isn't a model configuration: {error}") from error


def _how_to_make(name: str, wanted: str) -> str:
    if wanted == ONNX_FILE:
        return f"run python -m scripts.populate {name.removesuffix('_net')}"
    return "build it on the GPU that it is for, with TensorRT's trtexec"
