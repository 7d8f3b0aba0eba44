"""A model repository on disk: what is in it, and putting weights there so that no reader sees half of them."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence, Set
from pathlib import Path

from filelock import FileLock, Timeout
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from backends.openvino.bfloat16 import lacking
from scripts.archive import WeightsKind
from scripts.errors import ScriptError
from scripts.files import unwritable, write_whole
from scripts.model_config import read_config
from scripts.onnx_file import incomplete, move_onnx
from scripts.render import HEADER, LABELS_FILE, ONNX_FILE, OWN_HEADER, config_path, render
from scripts.tensorrt.plans import record_path, stale_plans
from scripts.versions import ONLY, in_service, is_of_a_version, model_file, place_beside, versions, write_ensembles
from tritonclas.published import imagenet_labels
from tritonclas.results import SYNTHETIC_LABEL
from tritonclas.served import Served, is_part
from tritonclas.zoo import MODELS, near_matches

#: What processes at work have in a network's folder, and leave there if they are killed.
STAGING, REMOVING = ".populate-", ".remove-"
LOCK = ".lock"


def zoo_labels(model: Served, kind: WeightsKind) -> tuple[str, ...]:
    """The names of a zoo model's classes; of random weights they say just that."""
    if kind == "synthetic":
        return tuple(f"{SYNTHETIC_LABEL} {index}" for index in range(model.classes))
    return imagenet_labels()


@contextlib.contextmanager
def staging(name: str, repository: Path) -> Iterator[Path]:
    """A folder on the repository's file system, for one process at a time; gone afterwards, whatever happens.

    It lies in the network's folder, where Triton looks at version folders only.
    """
    with locked(name, repository) as folder, tempfile.TemporaryDirectory(prefix=STAGING, dir=folder) as scratch:
        yield Path(scratch)


@contextlib.contextmanager
def locked(name: str, repository: Path) -> Iterator[Path]:
    """The network's folder, for one process at a time; gone afterwards if there is nothing in it.

    What an earlier run left there because it was killed is removed. ScriptError if another process has it, or it
    can't be written.
    """
    folder = repository / f"{name}_net"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _lock(folder, name), _removed_if_unused(folder):
            _sweep(folder)
            yield folder
    except OSError as error:
        raise unwritable(repository, error) from error


def _lock(folder: Path, name: str) -> contextlib.AbstractContextManager[object]:
    try:
        return FileLock(folder / LOCK).acquire(timeout=0)
    except Timeout:
        busy = f"another process is populating {name} in {folder.parent}, removing it, or building a plan of it"
        raise ScriptError(f"{busy}; wait for it to end") from None


def _sweep(folder: Path) -> None:
    for left in (*folder.glob(f"{STAGING}*"), *folder.glob(f"{REMOVING}*")):
        shutil.rmtree(left)
    for left in folder.glob(f".{LABELS_FILE}.*"):
        left.unlink()


@contextlib.contextmanager
def _removed_if_unused(folder: Path) -> Iterator[None]:
    """In the end, a folder that holds nothing but the lock goes: of a model that couldn't be published.

    It goes while the lock is held: whoever waits for it then finds that it is no longer there, and makes another.
    """
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            if [path.name for path in folder.iterdir()] == [LOCK]:
                (folder / LOCK).unlink()
                folder.rmdir()


def publish(model: Served, staged: Path, labels: Sequence[str], published: Path, *, synthetic: bool) -> Path:
    """Move a verified ONNX model, staged on the same file system, to `published`, where Triton reads it.

    TensorRT plans of other weights go: Triton would serve them without a word. At no moment do synthetic weights have
    the names of real classes.
    """
    repository, version = published.parents[2], int(published.parent.name)
    write_configs(model, repository)
    place_beside(model.name, version, labels, repository)
    if synthetic or not (repository / model.network_name / LABELS_FILE).exists():
        write_labels(model, labels, repository)
    for plan in stale_plans(published.parent, staged):
        plan.unlink()
        record_path(plan).unlink(missing_ok=True)
    move_onnx(staged, published)
    write_labels(model, labels, repository)
    write_ensembles(model.name, repository)
    return published


def complete(model: Served, labels: Sequence[str], repository: Path) -> None:
    """Put back what is missing beside the weights of a model that is there: configurations, version folders, labels."""
    write_configs(model, repository)
    write_labels(model, labels, repository)
    write_ensembles(model.name, repository)


def write_labels(model: Served, labels: Sequence[str], repository: Path) -> None:
    """Put the names of the model's classes where Triton reads them."""
    write_whole(repository / model.network_name / LABELS_FILE, "".join(f"{label}\n" for label in labels))


def write_configs(model: Served, repository: Path) -> None:
    """Put there the configurations and version folders that the model needs.

    Configurations that are there already stay as they are: they may have been tuned for this machine. ScriptError
    if they are of another model.
    """
    check_configs(model, repository)
    for path, text in render([model]).items():
        if not (repository / path).exists():
            write_whole(repository / path, text if model.name in MODELS else text.replace(HEADER, OWN_HEADER))
    for name, version in ((model.preprocess_name, ONLY), (model.name, str(in_service(model.name, repository)))):
        (repository / name / version).mkdir(parents=True, exist_ok=True)


def check_configs(model: Served, repository: Path) -> None:
    """ScriptError if configurations that are there are of another model than this one."""
    if of := is_of_a_version(model.name, repository):
        raise ScriptError(f"{model.name} serves a version of {of}; choose another name")
    for path, text in render([model]).items():
        if (repository / path).exists():
            there, wanted = read_config(repository / path), text_format.Parse(text, pb.ModelConfig())
            _check_same(f"{repository / path} is of a model with other sizes", _tensors(there), _tensors(wanted))
            if model.name not in MODELS:  # how the zoo's pictures are prepared is known, another way was chosen by hand
                difference = f"{repository / path} is of a model whose pictures are prepared otherwise"
                _check_same(difference, _prepared_by(there), _prepared_by(wanted))
                _check_batch(repository / path, there, wanted)


def _check_same(difference: str, there: object, wanted: object) -> None:
    """ScriptError unless what a configuration says, if it says anything, is what is wanted."""
    if there and there != wanted:
        raise ScriptError(
            f"{difference}, {there} instead of {wanted}; "
            "choose another name, or first remove what is there: python -m scripts.remove"
        )


def _check_batch(path: Path, there: pb.ModelConfig, wanted: pb.ModelConfig) -> None:
    """ScriptError unless the largest batch that is verified is the one that an ensemble takes."""
    if wanted.platform == "ensemble" and there.max_batch_size != wanted.max_batch_size:
        raise ScriptError(
            f"{path} says max_batch_size {there.max_batch_size}, not {wanted.max_batch_size}; "
            f"give --max-batch-size {there.max_batch_size}, or first remove what is there: python -m scripts.remove"
        )


def _prepared_by(config: pb.ModelConfig) -> list[str]:
    """The preprocessing models of ours that are steps of an ensemble."""
    return [step.model_name for step in config.ensemble_scheduling.step if step.model_name.startswith("preprocess_")]


def _tensors(config: pb.ModelConfig) -> dict[str, list[int]]:
    return {tensor.name: list(tensor.dims) for tensor in (*config.input, *config.output)}


def check_servable(name: str, repository: Path, profile: str | None = None) -> None:
    """ScriptError, saying what to do, unless the repository has the model and every file that it needs."""
    check_known(name, repository)
    config = _config(name, repository, profile)
    for step in config.ensemble_scheduling.step:
        check_servable(step.model_name, repository, profile)
    wanted = config.default_model_filename
    if wanted and not _has(name, wanted, repository):
        raise ScriptError(f"{name} has no {wanted} in {repository} yet; {_how_to_make(name, wanted, profile)}")
    if wanted == ONNX_FILE and (fault := _incomplete(repository / name)):
        raise ScriptError(f"{fault}; {_how_to_make(name, wanted, profile)}")


def _has(name: str, wanted: str, repository: Path) -> bool:
    """Whether a version of the network has this file, and all that Triton would serve have it."""
    having = [path.parent.name for path in (repository / name).glob(f"[0-9]*/{wanted}") if model_file(path).is_file()]
    return bool(having) and set(map(str, versions(name.removesuffix("_net"), repository))) <= set(having)


def _incomplete(folder: Path) -> str | None:
    """What is wrong with the files of the first incomplete version of a network."""
    return next(filter(None, map(incomplete, sorted(folder.glob(f"[0-9]*/{ONNX_FILE}")))), None)


def check_known(name: str, repository: Path) -> None:
    """ScriptError, with the nearest ones, unless the repository has a configuration of the model."""
    if not repository.is_dir():
        raise ScriptError(f"there is no model repository at {repository}; make one with python -m scripts.populate")
    if not (repository / config_path(name)).is_file():
        public = sorted(path.parent.name for path in repository.glob("*/config.pbtxt") if not is_part(path.parent.name))
        raise ScriptError(f"{repository} has no model {name!r}; {near_matches(name, public)}")


def check_profile(names: Iterable[str], repository: Path, profile: str) -> None:
    """ScriptError, with the nearest ones, unless some network of these models has such a profile.

    Triton itself falls back to config.pbtxt without a word where it has no configs/<profile>.pbtxt.
    """
    networks = [step.model_name for name in names for step in _config(name, repository, None).ensemble_scheduling.step]
    known = {path.stem for each in (*names, *networks) for path in (repository / each / "configs").glob("*.pbtxt")}
    if profile not in known:
        raise ScriptError(f"none of these models has a profile {profile!r}; {near_matches(profile, sorted(known))}")


def check_cpu(names: Iterable[str], repository: Path, profile: str, cpu_flags: Set[str]) -> None:
    """ScriptError if the profile needs more than a CPU with these flags for some network of these models.

    A GPU, which the embedded server can't use, or bfloat16.
    """
    for name in names:
        check_known(name, repository)
        config = _config(name, repository, profile)
        check_cpu([step.model_name for step in config.ensemble_scheduling.step], repository, profile, cpu_flags)
        if any(group.kind == pb.ModelInstanceGroup.KIND_GPU for group in config.instance_group):
            raise ScriptError(
                f"the profile {profile} runs {name} on a GPU, and the embedded server uses the CPU only; serve it in "
                "NVIDIA's container (docs/model_repository.md), or here without --profile"
            )
        if "HINT_BF16" in config.parameters and (lack := lacking(cpu_flags)):
            raise ScriptError(
                f"the profile {profile} runs {name} in bfloat16, and {lack}; serve it without --profile, in float32"
            )


def _config(name: str, repository: Path, profile: str | None) -> pb.ModelConfig:
    """The configuration that Triton reads: the profile's where there is one."""
    path = repository / name / "configs" / f"{profile}.pbtxt"
    return read_config(path if path.is_file() else repository / config_path(name))


def _how_to_make(name: str, wanted: str, profile: str | None) -> str:
    model = name.removesuffix("_net")
    if wanted == ONNX_FILE:
        return f"run python -m scripts.populate {model}"
    which = f" --profile {profile}" if profile else ""
    return f"build it on the GPU that serves it: python -m scripts.engines {model}{which}"
