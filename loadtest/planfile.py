"""The sweep's options as a TOML file: read with --plan, and kept with the results as `sweep.toml`.

Paths in it are relative to the file's own folder.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import tomlkit

from loadtest.errors import LoadTestError
from loadtest.toml import read_toml

FILE = "sweep.toml"

#: Options that say where and how the sweep is run, not what it measures.
_NOT_KEPT = ("plan", "compare", "resume", "out", "help")


def read(context: click.Context, _parameter: click.Parameter, path: Path | None) -> Path | None:
    """Callback of --plan: the file's values take the place of the options' defaults."""
    if path is None:
        return None
    try:
        content = read_toml(path)
    except LoadTestError as error:
        raise click.BadParameter(str(error)) from error
    options = _options(context.command)
    found = {}
    for name, value in content.items():
        option = options.get(name.replace("_", "-"))
        if option is None:
            raise click.BadParameter(f"{path} has {name!r}; it may have {', '.join(sorted(options))}")
        if value in ([], {}):
            raise click.BadParameter(f"{path} has no value for {name!r}; give one, or leave it out for the default")
        found[option.name or name] = _as_typed(option, value, path.parent)
    context.default_map = found
    return path


def _options(command: click.Command) -> dict[str, click.Option]:
    """By their names without dashes, as the file has them."""
    return {
        option.opts[0].removeprefix("--"): option
        for option in command.params
        if isinstance(option, click.Option) and option.opts[0].removeprefix("--") not in _NOT_KEPT
    }


def _as_typed(option: click.Option, value: Any, folder: Path) -> Any:
    """The value as the command line would have it."""
    if option.multiple:
        return [str(each) for each in (value if isinstance(value, list) else [value])]
    return str(folder / str(value)) if isinstance(option.type, click.Path) else value


def text(command: click.Command, values: Mapping[str, Any], folder: Path, *, resumed: bool = False) -> str:
    """The file's content for these options in this folder; those that are None or empty are left out.

    Lists of a sweep that is `resumed` go on those of the file that is there: it is all that the results are of.
    """
    before = read_toml(folder / FILE) if resumed and (folder / FILE).is_file() else {}
    document = tomlkit.document()
    document.add(
        tomlkit.comment("What results.json is of; again: python -m loadtest.sweep --plan sweep.toml --out DIR")
    )
    for name, option in _options(command).items():
        value = values.get(option.name or name)
        if value == ():
            value = tuple(before.get(name, ()))
        if value is None or value == () or (isinstance(value, Path) and value == option.default):
            continue  # a path of the project's own is another one on another machine
        if isinstance(value, tuple):
            document.add(name, list(dict.fromkeys([*before.get(name, ()), *value])))
        else:
            document.add(name, _plain(value, folder))
    return tomlkit.dumps(document)


def _plain(value: Any, folder: Path) -> Any:
    if isinstance(value, Path):
        return os.path.relpath(value, folder)
    if isinstance(value, dict):
        return ",".join(f"{name}={share:g}" for name, share in value.items())
    return value if isinstance(value, (bool, int, float)) else str(value)
