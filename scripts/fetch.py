"""Weights of any source as a Paddle inference archive on disk."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

import click

from scripts import inference_yml
from scripts.archive import MADE, Archive
from scripts.arguments import zoo_model
from scripts.errors import ArchiveError
from scripts.own import Own
from scripts.unpack import replacing, unpack
from tritonclas import zoo
from tritonclas.cli import example


def fetch(model: zoo.Model | Own, weights: str, work: Path) -> Archive:
    """The archive of `model` with the weights asked for; its folder is only to be read.

    `weights` is official (downloaded into the user's cache), sample or synthetic (made under `work`), or the path
    of an archive of one's own: a folder, or the tar file of one (unpacked under `work`). ArchiveError if the model
    hasn't such weights, or they can't be had.
    """
    if isinstance(model, Own):
        return _own(model.name, weights, work)
    if weights == "official":
        return _official(model)
    if weights == "sample":
        return _sample(model, work)
    if weights == "synthetic":
        return _assembled(model, "synthetic", work)
    return _own(model.name, weights, work)


def default_weights(model: zoo.Model) -> str:
    """PaddleClas's own where it publishes any."""
    return "sample" if model.sample else "official"


def _official(model: zoo.Model) -> Archive:
    from scripts.downloads.official import open_official  # noqa: PLC0415  HTTP takes a tenth of a command's start

    return open_official(model)


def _sample(model: zoo.Model, work: Path) -> Archive:
    if not model.sample:
        having = ", ".join(row.name for row in zoo.MODELS.values() if row.sample)
        raise ArchiveError(f"there are no sample weights of {model.name}, only of {having}; give official or synthetic")
    return _assembled(model, "sample", work)


def _assembled(model: zoo.Model, kind: Literal["sample", "synthetic"], work: Path) -> Archive:
    from scripts.assemble import assemble  # noqa: PLC0415  Paddle takes seconds to load

    return assemble(model, kind, work / model.name)


def _own(name: str, weights: str, work: Path) -> Archive:
    path = Path(weights)
    if not path.exists():
        raise ArchiveError(f"no weights {weights!r}: give official, sample, synthetic, or the path of an archive")
    source = str(path.resolve())
    if path.is_dir():
        return Archive.open(path, "own", source)
    unpack(path, work / name, str(path))
    return Archive.open(work / name, "own", source)


def copy(archive: Archive, folder: Path) -> None:
    """The archive's files, and what they say of themselves, in `folder`, unless they stand there already."""
    if archive.folder.resolve() == folder.resolve():
        return
    with replacing(folder) as fresh:
        for name in (archive.program.name, archive.parameters.name, MADE, inference_yml.FILE):
            if (archive.folder / name).is_file():
                shutil.copyfile(archive.folder / name, fresh / name)


@click.command(epilog=example("python -m scripts.fetch EfficientNetLite0 --weights sample --out archives"))
@click.argument("model", metavar="NAME", callback=zoo_model)
@click.option(
    "--weights",
    metavar="official|sample|synthetic|PATH",
    help="PATH is an archive of your own, a folder or a tar file.  [default: official; sample where there are none]",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder in which a folder NAME gets the archive.",
)
def main(model: zoo.Model, weights: str | None, out: Path) -> None:
    """Put a model's Paddle inference archive into a folder."""
    archive = fetch(model, weights or default_weights(model), out)
    copy(archive, out / model.name)
    click.echo(f"{out / model.name}: {archive.kind} weights from {archive.source}")


if __name__ == "__main__":
    main()
