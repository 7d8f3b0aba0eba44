"""What a model repository holds, told from configurations and metadata alone: no weights are read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tritonclient.grpc import model_config_pb2 as pb

from scripts.errors import ScriptError
from scripts.model_config import read_config
from scripts.onnx_file import incomplete
from scripts.provenance import Origin, is_exported
from scripts.render import LABELS_FILE, OWN_HEADER, config_path
from scripts.versions import is_of_a_version, model_file, onnx_path, versions
from tritonclas.served import is_part
from tritonclas.zoo import MODELS

Whose = Literal["zoo", "own", "by hand"]


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What configurations say of a model, None where they say nothing; sizes are pixels."""

    crop: int | None = None
    resize_short: int | None = None
    interpolation: str | None = None
    classes: int | None = None
    max_batch_size: int | None = None


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A model of a repository. `nbytes` is what its network's folder takes on disk; `fault` is why it can't be served.

    `populated` is whether there are weights, and `origin` whose they are: None of damaged ones, and of other people's.
    Of several `versions`, that is said of the one in service.
    """

    name: str
    whose: Whose
    populated: bool
    origin: Origin | None
    setup: Setup
    nbytes: int
    plans: tuple[str, ...]
    fault: str | None
    versions: tuple[int, ...] = ()
    version: int


def inventory(repository: Path) -> list[Entry]:
    """The repository's models, sorted by name; what they consist of aren't any. ScriptError if it isn't there."""
    if not repository.is_dir():
        raise ScriptError(f"there is no model repository at {repository}; make one with python -m scripts.populate")
    folders = [path.name for path in repository.iterdir() if path.is_dir() and not path.name.startswith(".")]
    public = {name.removesuffix("_net") for name in folders if name.endswith("_net") or not is_part(name)}
    return [examine(name, repository) for name in sorted(public) if not is_of_a_version(name, repository)]


def examine(name: str, repository: Path) -> Entry:
    """The model of that name, of which at least a folder is there."""
    network = repository / f"{name}_net"
    published = onnx_path(name, repository)
    weights = model_file(published)
    origin = Origin.read(weights)
    setup, fault = _setup(name, repository)
    return Entry(
        name=name,
        whose=_whose(name, repository, origin),
        populated=weights.is_file(),
        origin=origin,
        setup=setup,
        nbytes=size_of(network),
        plans=tuple(sorted({path.stem for path in network.glob("[0-9]*/*.plan")})),
        fault=fault or next(_faults(published, origin, setup, network / LABELS_FILE), None),
        versions=tuple(versions(name, repository)),
        version=int(published.parent.name),
    )


def _whose(name: str, repository: Path, origin: Origin | None) -> Whose:
    if name in MODELS:
        return "zoo"
    paths = [repository / name, repository / f"{name}_net"]
    if origin or any(is_rendered(path / "config.pbtxt") for path in paths) or not any(map(_visible, paths)):
        return "own"
    return "by hand"


def _visible(folder: Path) -> bool:
    """Whether a folder has anything that no process of ours left there when it was killed."""
    return folder.is_dir() and any(not path.name.startswith(".") for path in folder.iterdir())


def is_rendered(config: Path) -> bool:
    """Whether populate has written this configuration of a user's own model; it may have been tuned since."""
    try:
        with config.open("rb") as file:
            return file.read(len(OWN_HEADER.encode())) == OWN_HEADER.encode()
    except OSError:
        return False


def _setup(name: str, repository: Path) -> tuple[Setup, str | None]:
    """What the model's configurations say, and what is wrong with them."""
    try:
        ensemble, network = (_read(repository / config_path(part)) for part in (name, f"{name}_net"))
        steps = [step.model_name for step in ensemble.ensemble_scheduling.step if step.model_name != f"{name}_net"]
        preparation = _read(repository / config_path(steps[0])).parameters if steps else {}
    except ScriptError as error:
        return Setup(), error.message
    said = {
        key: preparation[key].string_value for key in ("crop", "resize_short", "interpolation") if key in preparation
    }
    return (
        Setup(
            crop=_number(said.get("crop")) or next(_dims(network.input), None),
            resize_short=_number(said.get("resize_short")),
            interpolation=said.get("interpolation"),
            classes=next(_dims(network.output), None),
            max_batch_size=ensemble.max_batch_size,
        ),
        None,
    )


def _read(path: Path) -> pb.ModelConfig:
    try:
        return read_config(path)
    except OSError as error:
        raise ScriptError(f"{path} can't be read ({error.strerror}); populate the model again, or remove it") from None


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None


def _dims(tensors: Iterable[pb.ModelInput | pb.ModelOutput]) -> Iterator[int]:
    return (size for tensor in tensors for size in tensor.dims)


def _faults(published: Path, origin: Origin | None, setup: Setup, labels: Path) -> Iterator[str]:
    """What is wrong with weights that are there."""
    weights = model_file(published)
    if not weights.is_file():
        return
    if broken := incomplete(published):
        yield f"{broken}; populate it again"
    elif origin is None:
        another = "was made by another version" if is_exported(weights) else "is damaged"
        yield f"{weights} {another}; populate it again"
    elif (origin.model.crop, origin.model.classes) != (setup.crop, setup.classes):
        weights_have = f"{origin.model.crop} pixels and {origin.model.classes} classes"
        yield f"its weights are for {weights_have}, its configurations for {setup.crop} and {setup.classes}"
    if not labels.is_file():
        yield f"{labels} is missing; populate it again"


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.lstat().st_size for file in files if file.is_file())
