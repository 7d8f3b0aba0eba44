"""The sweep's options as a TOML file: read with --plan, and kept with the results as `sweep.toml`.

Paths in it are relative to the file's own folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import tomlkit

from loadtest.errors import LoadTestError
from loadtest.toml import read_toml

FILE = "sweep.toml"

#: Options that say where and how the sweep is run, not what it measures, and those that may be secrets.
_NOT_KEPT = (
    *("plan", "compare", "resume", "out", "help"),
    *("tls", "ca", "certificate", "key", "server-name", "header"),
)


def read(context: click.Context, _parameter: click.Parameter, path: Path | None) -> Path | None:
    """Callback of --plan: the file's values take the place of the options' defaults."""
    if path is None:
        return None
    try:
        content = read_toml(path)
    except LoadTestError as error:
        raise click.BadParameter(str(error)) from error
    found = {}
    for option, value in _known(context.command, content, path):
        if value in ([], {}):
            raise click.BadParameter(f"{path} has no value for {_name(option)!r}; give one, or leave it out")
        found[option.name or ""] = _as_typed(option, value, path.parent)
    context.default_map = found
    return path


def _options(command: click.Command) -> list[click.Option]:
    """Those that the file has."""
    options = (option for option in command.params if isinstance(option, click.Option))
    return [option for option in options if _name(option) not in _NOT_KEPT]


def _name(option: click.Option) -> str:
    """As the file has it: without dashes in front."""
    return option.opts[0].removeprefix("--")


def _known(command: click.Command, content: Mapping[str, Any], path: Path) -> Iterator[tuple[click.Option, Any]]:
    """The file's options with their values; click.BadParameter if it has others."""
    options = {_name(option): option for option in _options(command)}
    for name, value in content.items():
        option = options.get(name.replace("_", "-"))
        if option is None:
            raise click.BadParameter(f"{path} has {name!r}; it may have {', '.join(sorted(options))}")
        yield option, value


def _as_typed(option: click.Option, value: Any, folder: Path) -> Any:
    """The value as the command line would have it."""
    if option.multiple:
        return [str(each) for each in (value if isinstance(value, list) else [value])]
    return str(folder / str(value)) if isinstance(option.type, click.Path) else value


def text(command: click.Command, values: Mapping[str, Any], folder: Path, *, resumed: bool = False) -> str:
    """The file's content for these options in this folder; those that are None or empty are left out.

    Lists of a sweep that is `resumed` go on those of the file that is there, and what it doesn't say is as there: it is
    all that the results are of. LoadTestError if its rates would arrive in another way.
    """
    path = folder / FILE
    before: dict[str, Any] = {}
    if resumed and path.is_file():
        before = {_name(option): value for option, value in _known(command, read_toml(path), path)}
    document = tomlkit.document()
    document.add(
        tomlkit.comment("What results.json is of; again: python -m loadtest.sweep --plan sweep.toml --out DIR")
    )
    for option in _options(command):
        name = _name(option)
        value = values.get(option.name or "")
        if isinstance(value, tuple):
            value = _joined(before.get(name, ()), value)
        if name == "arrivals" and before.get("rates") and value != before.get(name, option.default):
            raise LoadTestError(f"{path} has rates with other arrivals than {value}; give --out another folder")
        if value is None:
            value = before.get(name)
        if value is None or value == [] or (isinstance(value, Path) and value == option.default):
            continue  # a path of the project's own is another one on another machine
        document.add(name, _plain(value, folder))
    return tomlkit.dumps(document)


def _joined(before: Any, now: Iterable[Any]) -> list[Any]:
    """Both lists, each value once."""
    every = [*(before if isinstance(before, (list, tuple)) else [before]), *now]
    return list({f"{each:g}" if isinstance(each, (int, float)) else each: each for each in every}.values())


def _plain(value: Any, folder: Path) -> Any:
    if isinstance(value, Path):
        return os.path.relpath(value, folder)
    if isinstance(value, dict):
        return ",".join(f"{name}={share:g}" for name, share in value.items())
    return value if isinstance(value, (bool, int, float, list)) else str(value)
