"""Options of the commands that talk to a server: which one, and how it is reached."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import click

from tritonclas import Classifier, ModelServer, Tls

Command = TypeVar("Command", bound=Callable[..., Any])
_FILE = click.Path(path_type=Path)


@dataclass(frozen=True)
class Connection:
    """What the options say."""

    urls: tuple[str, ...]
    tls: Tls | None
    headers: Mapping[str, str] = field(repr=False)

    def classifier(self, model: str, **options: Any) -> Classifier:
        """A client for a model, which all the servers have."""
        return Classifier(self.urls, model, tls=self.tls, headers=self.headers, **options)

    def server(self) -> ModelServer:
        """A client for the server; a usage error if there are several."""
        if len(self.urls) > 1:
            raise click.UsageError("this command looks after one server; give one --url")
        return ModelServer(self.urls[0], tls=self.tls, headers=self.headers)


def connection_options(command: Command) -> Command:
    """Adds the options; the command gets them as the argument `connection`."""

    @functools.wraps(command)
    def called(
        *arguments: Any, url: tuple[str, ...], tls: Tls | None, headers: Mapping[str, str], **options: Any
    ) -> Any:
        return command(*arguments, connection=Connection(url, tls, headers), **options)

    return _URL(identity_options(called))  # type: ignore[return-value]


def identity_options(command: Command) -> Command:
    """Adds those that say who the server and the client are; the command gets them as `tls` and `headers`."""

    @functools.wraps(command)
    def called(
        *arguments: Any,
        tls: bool,
        ca: Path | None,
        certificate: Path | None,
        key: Path | None,
        server_name: str | None,
        header: tuple[tuple[str, str], ...],
        **options: Any,
    ) -> Any:
        wanted = Tls(ca, certificate, key, server_name) if tls or ca or certificate or key or server_name else None
        return command(*arguments, tls=wanted, headers=dict(header), **options)

    for option in reversed(_IDENTITY):
        called = option(called)
    return called  # type: ignore[return-value]


def header(text: str) -> tuple[str, str]:
    """NAME=VALUE, or NAME=@FILE, which keeps a secret out of the list of processes; ValueError if it is neither."""
    name, separator, value = text.partition("=")
    if not separator:
        raise ValueError("give NAME=VALUE, or NAME=@FILE for a value in a file")
    if not value.startswith("@"):
        return name, value
    try:
        return name, Path(value[1:]).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise ValueError(f"the file of the header {name} can't be read") from None


def _headers(context: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    try:
        return tuple(map(header, given))
    except ValueError as error:
        raise click.BadParameter(str(error), context, parameter) from error


_URL = click.option(
    "--url",
    multiple=True,
    default=["localhost:8001"],
    show_default="localhost:8001",
    metavar="HOST:PORT",
    help="Triton's gRPC endpoint; several, and requests are shared out.",
)
_IDENTITY = (
    click.option("--tls", is_flag=True, help="Encrypt; implied by the options below."),
    click.option("--ca", type=_FILE, help="PEM file of the authorities that vouch for the server."),
    click.option("--certificate", type=_FILE, help="PEM file of the client's certificate."),
    click.option("--key", type=_FILE, help="PEM file of its key."),
    click.option("--server-name", help="Whose certificate is expected, if not the endpoint's host."),
    click.option(
        "--header",
        multiple=True,
        callback=_headers,
        metavar="NAME=VALUE|NAME=@FILE",
        help="Sent with each request, such as a key of Triton's restricted protocols.",
    ),
)
