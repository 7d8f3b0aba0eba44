"""Arguments that several commands take."""

from __future__ import annotations

import click

from tritonclas import zoo


def zoo_model(context: click.Context, parameter: click.Parameter, name: str) -> zoo.Model:
    """Callback of an argument that names a row of the zoo; refuses unknown names with the nearest ones."""
    try:
        return zoo.find(name)
    except zoo.UnknownModel as error:
        raise click.BadParameter(str(error), context, parameter) from None


def zoo_models(context: click.Context, parameter: click.Parameter, names: tuple[str, ...]) -> tuple[zoo.Model, ...]:
    """Callback of an argument that names several rows, each taken once."""
    return tuple(zoo_model(context, parameter, name) for name in dict.fromkeys(names))
