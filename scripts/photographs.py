"""Photographs as a model's crops, to verify with."""

from __future__ import annotations

from pathlib import Path

import click

from scripts.errors import ScriptError
from scripts.files import unreadable
from tritonclas.preprocess import BadImage, Pixels, Preprocessing
from tritonclas.served import Served

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"

#: Enough to see whether a model tells them apart.
MOST_PICTURES = 16

pictures_option = click.option(
    "--pictures",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=EXAMPLES,
    show_default="the repository's examples",
    help="Folder with photographs to verify with.",
)


def photographs(model: Served, folder: Path) -> list[Pixels]:
    """The first pictures in a folder and those below it, by path, as crops; ScriptError if there is none."""
    preprocess = Preprocessing(model.resize_short, model.crop, model.interpolation)
    crops: list[Pixels] = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            crops.append(preprocess(path.read_bytes()))
        except BadImage:
            continue
        except OSError as error:
            raise unreadable(path, error) from error
        if len(crops) == MOST_PICTURES:
            break
    if not crops:
        raise ScriptError(
            f"{folder} holds no picture that can be read; give --pictures a folder with JPEG or PNG files"
        )
    return crops
