"""Arguments that several commands take."""

from __future__ import annotations

from pathlib import Path

import click

from scripts.render import REPOSITORY
from tritonclas import zoo
from tritonclas.served import Triple

repository_option = click.option(
    "--repository",
    type=click.Path(path_type=Path, file_okay=False),
    default=REPOSITORY,
    envvar="TRITONCLAS_REPOSITORY",
    show_default=True,
    show_envvar=True,
)


def zoo_model(context: click.Context, parameter: click.Parameter, name: str | None) -> zoo.Model | None:
    """Callback of an argument that names a row of the zoo, if any; refuses unknown names with the nearest ones."""
    try:
        return None if name is None else zoo.find(name)
    except zoo.UnknownModel as error:
        raise click.BadParameter(str(error), context, parameter) from None


def zoo_models(context: click.Context, parameter: click.Parameter, names: tuple[str, ...]) -> tuple[zoo.Model, ...]:
    """Callback of an argument that names several rows, each taken once."""
    found = (zoo_model(context, parameter, name) for name in dict.fromkeys(names))
    return tuple(model for model in found if model)


def triple(context: click.Context, parameter: click.Parameter, text: str | None) -> Triple | None:
    """Callback of an option that takes a number for each of red, green and blue."""
    if text is None:
        return None
    try:
        red, green, blue = map(float, text.split(","))
    except ValueError:
        raise click.BadParameter(
            f"{text!r} isn't three numbers, such as 0.485,0.456,0.406", context, parameter
        ) from None
    return red, green, blue
