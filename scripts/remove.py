"""Models leave a repository: a row of the zoo loses its weights, a user's own model goes wholly."""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from scripts.arguments import repository_option
from scripts.errors import ScriptError
from scripts.inventory import Entry, inventory, is_rendered, size_of
from scripts.model_config import read_config
from scripts.processes import termination_as_interrupt
from scripts.profiles import PLANS, PROFILES
from scripts.provenance import is_exported
from scripts.render import FIRST_VERSION, LABELS_FILE, ONNX_FILE
from scripts.repository import LOCK, REMOVING, locked
from scripts.versions import ensembles, in_service, model_file
from tritonclas.cli import example
from tritonclas.served import version_name
from tritonclas.zoo import near_matches

_CONFIG = "config.pbtxt"
_PLANS = "|".join(plan.name for plan in PLANS)
#: What there may be in an own model's folders, all of it made by this project; also half of it, by a killed process.
_MADE = re.compile(
    rf"config\.pbtxt|configs/({'|'.join(profile.name for profile in PROFILES)})\.pbtxt|labels\.txt"
    rf"|\d+/model\.onnx(/model\.onnx|/weights-[0-9a-f]+\.data)?|\d+/({_PLANS})\.plan(\.json)?"
    r"|\.lock|\.(populate|remove|engines)-.*|(\w+/)?\.[^/]+\.(txt|pbtxt|json)\.\d+"
)


@dataclass(frozen=True)
class Removed:
    """What is gone: how many bytes, and the preprocessing models that went with it."""

    nbytes: int
    preprocessing: tuple[str, ...] = ()


@click.command(epilog=example("python -m scripts.remove my_flowers EfficientNetB4"))
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--version", type=click.IntRange(1), help="Only this version of the model, which isn't in service.")
@repository_option
def main(names: tuple[str, ...], *, version: int | None, repository: Path) -> None:
    """Remove models from a repository.

    A model of the zoo loses its weights, labels and plans, and keeps its configurations. A model of your own goes
    wholly, with its preprocessing model unless another model uses it. A running server that has it loaded goes on
    serving it; unload it there.
    """
    if version and len(names) > 1:
        raise click.UsageError("--version is of one model")
    with termination_as_interrupt():
        if version:
            (entry,) = wanted(names, repository)
            freed = _freed(remove_version(entry, version, repository))
            click.echo(f"{entry.name}: version {version} removed ({freed})")
            return
        for entry in wanted(names, repository):
            click.echo(describe(entry, remove(entry, repository)))


def wanted(names: Iterable[str], repository: Path) -> list[Entry]:
    """The models of these names, each once; ScriptError if one isn't there, or wasn't made by this project."""
    there = {entry.name: entry for entry in inventory(repository)}
    for name in names:
        if name not in there:
            raise ScriptError(f"{repository} has no model {name!r}; {near_matches(name, there)}")
        if there[name].whose == "by hand":
            raise ScriptError(f"{repository / name} wasn't made by scripts.populate; delete it yourself")
        if there[name].whose == "own":
            _check_made(name, repository)
    return [there[name] for name in dict.fromkeys(names)]


def describe(entry: Entry, removed: Removed) -> str:
    """One line on what is gone."""
    size = _freed(removed.nbytes)
    if entry.whose == "own":
        return f"{', '.join((entry.name, *removed.preprocessing))}: removed ({size})"
    if removed.nbytes:
        return f"{entry.name}: weights removed ({size}); its configurations stay"
    return f"{entry.name}: has no weights, nothing to remove"


def _freed(nbytes: int) -> str:
    return f"{nbytes / 1e6:.1f} MB freed"


def remove(entry: Entry, repository: Path) -> Removed:
    """Take a model out of the repository; ScriptError, with everything in its place, if that can't be done.

    Everything is moved out of Triton's sight before it is deleted. What a killed removal has left is servable or
    without weights, and the next one finishes it.
    """
    with _moving(entry, repository) as moves:
        return Removed(preprocessing=_take(entry, repository, moves), nbytes=moves.nbytes)


def remove_version(entry: Entry, version: int, repository: Path) -> int:
    """Take one version of a model out of the repository; the bytes that it had. ScriptError as `remove`.

    Its ensemble goes first, so that no server sees that without the network's version.
    """
    with _moving(entry, repository) as moves:
        if version not in entry.versions:
            raise ScriptError(f"{entry.name} has no version {version} in {repository}, but {_several(entry.versions)}")
        if version == in_service(entry.name, repository):
            raise ScriptError(
                f"version {version} of {entry.name} is in service; put another one in service with "
                f"python -m scripts.release, or remove the model"
            )
        moves.take(repository / version_name(entry.name, version))
        moves.take(repository / f"{entry.name}_net" / str(version))
        return moves.nbytes


def _several(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers)) or "none"


@contextlib.contextmanager
def _moving(entry: Entry, repository: Path) -> Iterator[_Moves]:
    """What is moved here is deleted in the end, or moved back after an error; other processes must wait."""
    with locked(entry.name, repository) as folder:
        if entry.whose == "own":
            _check_made(entry.name, repository)
        with tempfile.TemporaryDirectory(prefix=REMOVING, dir=folder) as trash:
            moves = _Moves(Path(trash))
            try:
                yield moves
            except BaseException:
                moves.undo()
                raise


class _Moves:
    """Moves into a folder, which can be undone."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._done: list[tuple[Path, Path]] = []

    def take(self, path: Path, called: str | None = None) -> None:
        """Move a file or a folder, if it is there."""
        target = self._target / (called or path.name)
        with contextlib.suppress(FileNotFoundError):
            path.rename(target)
            self._done.append((path, target))

    @property
    def nbytes(self) -> int:
        """Of all that was moved."""
        return size_of(self._target)

    def undo(self) -> None:
        """Move everything back, the last first."""
        while self._done:
            path, target = self._done.pop()
            target.rename(path)


def _take(entry: Entry, repository: Path, moves: _Moves) -> tuple[str, ...]:
    """Move what belongs to a model; the preprocessing models among it."""
    for ensemble in list(ensembles(entry.name, repository)):
        moves.take(repository / ensemble)
    if entry.whose == "own":
        _take_own(entry.name, repository, moves)
        return tuple(_take_preprocessing(repository, moves))
    _take_weights(repository / f"{entry.name}_net", moves)
    return ()


def _take_weights(folder: Path, moves: _Moves) -> None:
    """The weights first: after this one step the model is without any."""
    for version in folder.glob("[0-9]*"):
        moves.take(version / ONNX_FILE, f"{version.name}-{ONNX_FILE}")
        for plan in PLANS:
            for file in (plan.plan, f"{plan.plan}.json"):
                moves.take(version / file, f"{version.name}-{file}")
    moves.take(folder / LABELS_FILE)


def _take_own(name: str, repository: Path, moves: _Moves) -> None:
    """The ensemble first, then what makes the network a model, so that no server sees one without the other."""
    folder = repository / f"{name}_net"
    moves.take(repository / name, "ensemble")
    moves.take(folder / _CONFIG)
    for path in list(folder.iterdir()):
        if path.name != LOCK and not path.name.startswith(REMOVING):
            moves.take(path)


def _take_preprocessing(repository: Path, moves: _Moves) -> Iterator[str]:
    """The preprocessing models of users' own models that no ensemble uses."""
    for folder in sorted(repository.glob("preprocess_*")):
        if _is_used(folder.name, repository) or not is_rendered(folder / _CONFIG) or any(_strangers(folder)):
            continue
        moves.take(folder)
        if _is_used(folder.name, repository):  # populate writes ensembles first, and has found the folder there
            raise ScriptError(f"another process has begun to use {folder}; run this again")
        yield folder.name


def _is_used(name: str, repository: Path) -> bool:
    """Whether an ensemble has a model as its member, or may have: what can't be read may be one."""
    try:
        configs = [read_config(path) for path in repository.glob("*/config.pbtxt")]
    except ScriptError:
        return True
    return any(step.model_name == name for config in configs for step in config.ensemble_scheduling.step)


def _check_made(name: str, repository: Path) -> None:
    """ScriptError if the model's folders hold anything that this project hasn't made."""
    for folder in (repository / name, repository / f"{name}_net"):
        for path in _strangers(folder):
            raise ScriptError(f"{path} wasn't made by this project; move it away, and run this again")


def _strangers(folder: Path) -> Iterator[Path]:
    """The files in a folder that aren't ours: others, and configurations that lack our header."""
    for path in sorted(folder.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            continue
        within = path.relative_to(folder)
        ours = _MADE.fullmatch(within.as_posix()) and _is_made_here(folder / within.parts[0])
        if not ours or (path.suffix == ".pbtxt" and not is_rendered(path)):
            yield path


def _is_made_here(path: Path) -> bool:
    """Whether a version beside the first is one that populate has put there."""
    return not path.name.isdecimal() or path.name == str(FIRST_VERSION) or is_exported(model_file(path / ONNX_FILE))


if __name__ == "__main__":
    main()
