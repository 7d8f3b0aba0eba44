"""Which version of a model is in service: switched, and switched back."""

from __future__ import annotations

from pathlib import Path

import click

from scripts.arguments import repository_option
from scripts.errors import ScriptError
from scripts.onnx_file import incomplete
from scripts.repository import check_known, locked
from scripts.versions import in_service, onnx_path, put_in_service, versions
from tritonclas import TritonClasError
from tritonclas._connection import Connection, connection_options
from tritonclas.cli import example


@click.command(epilog=example("python -m scripts.release EfficientNetB0 2 --load --url localhost:8001"))
@click.argument("name", metavar="NAME")
@click.argument("version", type=click.IntRange(1))
@repository_option
@click.option("--load", is_flag=True, help="Have the server at --url take it over; it goes on answering meanwhile.")
@connection_options
def main(name: str, version: int, *, repository: Path, load: bool, connection: Connection) -> None:
    """Put a version of a model in service; with an earlier one that is the way back.

    Without --load servers take it over when they load the model next. Versions come with scripts.populate --version.
    """
    before = release(name, version, repository)
    if load:
        try:
            with connection.server() as server:
                server.load(name)
        except TritonClasError as error:
            release(name, before, repository)
            raise ScriptError(f"{error}; version {before} stays in service") from error
    if before == version:
        click.echo(f"{name}: version {version} is in service already")
        return
    click.echo(f"{name}: version {version} is in service; back: python -m scripts.release {name} {before}")


def release(name: str, version: int, repository: Path) -> int:
    """Have the model's ensemble name this version; the one that was in service. ScriptError if it can't be."""
    check_known(name, repository)
    with locked(name, repository):
        there = versions(name, repository)
        if version not in there:
            numbers = ", ".join(map(str, there)) or "none"
            raise ScriptError(
                f"{name} has no version {version} in {repository}, but {numbers}; "
                f"run python -m scripts.populate {name} --version {version}"
            )
        if fault := incomplete(onnx_path(name, repository, version)):
            raise ScriptError(f"{fault}; run python -m scripts.populate {name} --version {version}")
        before = in_service(name, repository)
        if before != version:
            put_in_service(name, version, repository)
        return before


if __name__ == "__main__":
    main()
