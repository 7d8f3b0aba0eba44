"""Versions of a model beside each other: one is in service, each can be asked for by its number.

A network's version folders are Triton's own, and it serves all that are there. An ensemble can't be had in versions:
all of them would have one configuration. So a model's ensemble names the version of the network that is in service, and
once there are several, each has an ensemble of its own, `<name>_v<N>`.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from scripts.errors import ScriptError
from scripts.files import write_whole
from scripts.model_config import read_config
from scripts.render import FIRST_VERSION, LABELS_FILE, ONNX_FILE, config_path
from tritonclas.served import version_name

#: The only version of a preprocessing model.
ONLY = "1"
#: Of a network whose weights lie in files of their own, so that `model.onnx` is a folder.
MODEL_FILE = "model.onnx"
_OF_A_VERSION = re.compile(r"(?P<name>.+)_v(?P<version>[1-9][0-9]*)")


def onnx_path(name: str, repository: Path, version: int | None = None) -> Path:
    """Where a version of a model, by default the one in service, has its ONNX model."""
    number = in_service(name, repository) if version is None else version
    return repository / f"{name}_net" / str(number) / ONNX_FILE


def model_file(path: Path) -> Path:
    """The file with the graph of an ONNX model, which is a file or a folder."""
    return path / MODEL_FILE if path.is_dir() else path


def versions(name: str, repository: Path) -> list[int]:
    """Those that have weights, in order."""
    folders = [path for path in (repository / f"{name}_net").glob("[0-9]*") if path.name.isdecimal()]
    return sorted(int(folder.name) for folder in folders if model_file(folder / ONNX_FILE).is_file())


def in_service(name: str, repository: Path) -> int:
    """The version that the model's ensemble names; where it names none the latest, or the first if there are none."""
    return _pinned(name, repository) or max(versions(name, repository), default=FIRST_VERSION)


def put_in_service(name: str, version: int, repository: Path) -> None:
    """Have the model's ensemble name this version from now on, and be called this version itself.

    Triton then counts the versions' requests apart, and its response cache doesn't answer for another version.
    """
    path = repository / config_path(name)
    folder = path.parent / str(version)
    folder.mkdir(exist_ok=True)
    if _pinned(name, repository) != version:
        config = read_config(path)
        _network_step(config, name).model_version = version
        _write(config, path, like=path)
    for other in path.parent.glob("[0-9]*"):
        if other != folder:
            with contextlib.suppress(OSError):  # somebody has put something there
                other.rmdir()


def place_beside(name: str, version: int, labels: Sequence[str], repository: Path) -> None:
    """What it takes for a version to come beside those that are there: the one in service stays so. The first is in
    service at once.

    ScriptError, with nothing changed, if the version's classes have other names, if Triton wouldn't serve all versions,
    or if the name of the version's ensemble is another model's.
    """
    others = [each for each in versions(name, repository) if each != version]
    if not others:
        if _pinned(name, repository) not in (None, version):
            put_in_service(name, version, repository)
        return
    _check_labels(name, labels, repository)
    _check_policies(name, repository)
    for each in (*others, version):
        taken = version_name(name, each)
        if (repository / f"{taken}_net").exists():
            raise ScriptError(f"version {each} of {name} would be served as {taken}, which is another model")
    put_in_service(name, in_service(name, repository), repository)


def write_ensembles(name: str, repository: Path) -> None:
    """An ensemble for each version, if there are several."""
    there = versions(name, repository)
    path = repository / config_path(name)
    for version in there if len(there) > 1 else []:
        own_name = version_name(name, version)
        config = read_config(path)
        config.name = own_name
        _network_step(config, name).model_version = version
        _write(config, repository / config_path(own_name), like=path)
        (repository / own_name / str(version)).mkdir(exist_ok=True)


def ensembles(name: str, repository: Path) -> Iterator[str]:
    """The names of the ensembles that versions of this model have."""
    for path in sorted(repository.glob(f"{name}_v*/config.pbtxt")):
        if is_of_a_version(path.parent.name, repository) == name:
            yield path.parent.name


def is_of_a_version(name: str, repository: Path) -> str | None:
    """The model whose version an ensemble is, None if it is a model of its own."""
    matched = _OF_A_VERSION.fullmatch(name)
    if not matched or (repository / config_path(f"{name}_net")).exists():
        return None
    try:
        _network_step(read_config(repository / config_path(name)), matched["name"])
    except (ScriptError, OSError):
        return None
    return matched["name"]


def _pinned(name: str, repository: Path) -> int | None:
    """The version that the model's ensemble names, if it is there and can be read."""
    try:
        step = _network_step(read_config(repository / config_path(name)), name)
    except (ScriptError, OSError):
        return None
    return int(step.model_version) if step.model_version > 0 else None


def _network_step(config: pb.ModelConfig, name: str) -> pb.ModelEnsembling.Step:
    for step in config.ensemble_scheduling.step:
        if step.model_name == f"{name}_net":
            return step
    raise ScriptError(f"{config.name} isn't an ensemble of {name}_net; versions need one")


def _check_labels(name: str, labels: Sequence[str], repository: Path) -> None:
    """ScriptError unless the classes have the names that all versions of the network have in Triton."""
    path = repository / f"{name}_net" / LABELS_FILE
    if path.is_file() and path.read_text(encoding="utf-8").splitlines() != list(labels):
        raise ScriptError(
            f"these weights have other classes than the versions of {name} that are there (random weights count as "
            "such); populate them under another name"
        )


def _check_policies(name: str, repository: Path) -> None:
    """ScriptError unless Triton serves every version of the network."""
    folder = repository / f"{name}_net"
    for path in (folder / "config.pbtxt", *sorted(folder.glob("configs/*.pbtxt"))):
        if not read_config(path).version_policy.HasField("all"):
            raise ScriptError(
                f"{path} doesn't serve all versions beside each other; write version_policy {{ all {{}} }}"
            )


def _write(config: pb.ModelConfig, path: Path, like: Path) -> None:
    """Write a configuration, with the comments that another one begins with."""
    lines = like.read_text(encoding="utf-8").splitlines(keepends=True)
    comments = lines[: next((place for place, line in enumerate(lines) if not line.startswith("#")), len(lines))]
    write_whole(path, "".join(comments) + text_format.MessageToString(config, use_short_repeated_primitives=True))
