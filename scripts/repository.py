"""A model repository on disk: what is in it, and putting weights there so that no reader sees half of them."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from scripts.archive import WeightsKind
from scripts.errors import ScriptError
from scripts.files import unwritable, write_whole
from scripts.onnx_file import model_file, move_onnx
from scripts.render import HEADER, LABELS_FILE, ONNX_FILE, OWN_HEADER, config_path, render
from tritonclas.published import imagenet_labels
from tritonclas.results import SYNTHETIC_LABEL
from tritonclas.served import Served, is_part
from tritonclas.zoo import MODELS, near_matches

VERSION = "1"
_STAGING = ".populate-"
_LOCK = ".lock"


def onnx_path(name: str, repository: Path) -> Path:
    """Where the ONNX model of the model of that name is published."""
    return repository / f"{name}_net" / VERSION / ONNX_FILE


def zoo_labels(model: Served, kind: WeightsKind) -> tuple[str, ...]:
    """The names of a zoo model's classes; of random weights they say just that."""
    if kind == "synthetic":
        return tuple(f"{SYNTHETIC_LABEL} {index}" for index in range(model.classes))
    return imagenet_labels()


@contextlib.contextmanager
def staging(name: str, repository: Path) -> Iterator[Path]:
    """A folder on the repository's file system, for one process at a time; gone afterwards, whatever happens.

    It lies in the network's folder, where Triton looks at version folders only. What an earlier run left
    there because it was killed is removed.
    """
    folder = repository / f"{name}_net"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _lock(folder, name):
            _sweep(folder)
            with tempfile.TemporaryDirectory(prefix=_STAGING, dir=folder) as scratch:
                yield Path(scratch)
    except OSError as error:
        raise unwritable(repository, error) from error
    finally:
        _remove_if_unused(folder)


def _lock(folder: Path, name: str) -> BaseFileLock:
    lock = FileLock(folder / _LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ScriptError(f"another process is populating {name} in {folder.parent}; wait for it to end") from None
    return lock


def _sweep(folder: Path) -> None:
    for left in folder.glob(f"{_STAGING}*"):
        shutil.rmtree(left)
    for left in folder.glob(f".{LABELS_FILE}.*"):
        left.unlink()


def _remove_if_unused(folder: Path) -> None:
    """Remove a folder that holds nothing but the lock: a model that couldn't be published."""
    if folder.is_dir() and [path.name for path in folder.iterdir()] == [_LOCK]:
        with contextlib.suppress(OSError):
            (folder / _LOCK).unlink()
            folder.rmdir()


def publish(model: Served, staged: Path, labels: Sequence[str], repository: Path, *, synthetic: bool) -> Path:
    """Move a verified ONNX model, staged on the same file system, to where Triton reads it.

    At no moment do synthetic weights have the names of real classes.
    """
    write_configs(model, repository)
    if synthetic or not (repository / model.network_name / LABELS_FILE).exists():
        write_labels(model, labels, repository)
    published = onnx_path(model.name, repository)
    move_onnx(staged, published)
    write_labels(model, labels, repository)
    return published


def complete(model: Served, labels: Sequence[str], repository: Path) -> None:
    """Put back what is missing beside the weights of a model that is there: configurations, version folders, labels."""
    write_configs(model, repository)
    write_labels(model, labels, repository)


def write_labels(model: Served, labels: Sequence[str], repository: Path) -> None:
    """Put the names of the model's classes where Triton reads them."""
    write_whole(repository / model.network_name / LABELS_FILE, "".join(f"{label}\n" for label in labels))


def write_configs(model: Served, repository: Path) -> None:
    """Put there the configurations and version folders that the model needs.

    Configurations that are there already stay as they are: they may have been tuned for this machine. ScriptError
    if they are of another model.
    """
    for path, text in render([model]).items():
        if (repository / path).exists():
            _check_same_tensors(repository / path, text)
        else:
            write_whole(repository / path, text if model.name in MODELS else text.replace(HEADER, OWN_HEADER))
    for name in (model.name, model.preprocess_name, model.network_name):
        (repository / name / VERSION).mkdir(parents=True, exist_ok=True)


def _check_same_tensors(path: Path, rendered: str) -> None:
    """ScriptError unless the configuration that is there takes and answers what the rendered one does."""
    wanted, there = text_format.Parse(rendered, pb.ModelConfig()), read_config(path)
    if _tensors(wanted) != _tensors(there):
        raise ScriptError(
            f"{path} is of a model with other sizes, {_tensors(there)} instead of {_tensors(wanted)}; "
            "choose another name, or first remove what is there: python -m scripts.remove"
        )


def _tensors(config: pb.ModelConfig) -> dict[str, list[int]]:
    return {tensor.name: list(tensor.dims) for tensor in (*config.input, *config.output)}


def check_servable(name: str, repository: Path, profile: str | None = None) -> None:
    """ScriptError, saying what to do, unless the repository has the model and every file that it needs."""
    if not repository.is_dir():
        raise ScriptError(f"there is no model repository at {repository}; make one with python -m scripts.populate")
    if not (repository / config_path(name)).is_file():
        public = sorted(path.parent.name for path in repository.glob("*/config.pbtxt") if not is_part(path.parent.name))
        raise ScriptError(f"{repository} has no model {name!r}; {near_matches(name, public)}")
    config = _config(name, repository, profile)
    for step in config.ensemble_scheduling.step:
        check_servable(step.model_name, repository, profile)
    wanted = config.default_model_filename
    if wanted and not any(model_file(path).is_file() for path in (repository / name).glob(f"[0-9]*/{wanted}")):
        raise ScriptError(f"{name} has no {wanted} in {repository} yet; {_how_to_make(name, wanted)}")


def check_profile(names: Iterable[str], repository: Path, profile: str) -> None:
    """ScriptError, with the nearest ones, unless some network of these models has such a profile.

    Triton itself falls back to config.pbtxt without a word where it has no configs/<profile>.pbtxt.
    """
    networks = [step.model_name for name in names for step in _config(name, repository, None).ensemble_scheduling.step]
    known = {path.stem for each in (*names, *networks) for path in (repository / each / "configs").glob("*.pbtxt")}
    if profile not in known:
        raise ScriptError(f"none of these models has a profile {profile!r}; {near_matches(profile, sorted(known))}")


def _config(name: str, repository: Path, profile: str | None) -> pb.ModelConfig:
    """The configuration that Triton reads: the profile's where there is one."""
    path = repository / name / "configs" / f"{profile}.pbtxt"
    return read_config(path if path.is_file() else repository / config_path(name))


def read_config(path: Path) -> pb.ModelConfig:
    """A model configuration; ScriptError if it isn't one."""
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), pb.ModelConfig())
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise ScriptError(f"{path} isn't a model configuration: {error}") from error


def _how_to_make(name: str, wanted: str) -> str:
    if wanted == ONNX_FILE:
        return f"run python -m scripts.populate {name.removesuffix('_net')}"
    return "build it on the GPU that it is for, with TensorRT's trtexec"
