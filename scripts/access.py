"""Who may do what at a server: TLS, the key for its administration, and what nobody may. The options of `serve` for it.

docs/security.md says what each measure stops, and what it doesn't.
"""

from __future__ import annotations

import functools
import re
import secrets
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import click

from scripts.errors import ScriptError
from scripts.files import unreadable

#: Triton wants this before the name of a gRPC header; over HTTP the name is whatever it is told.
_PREFIX = "triton-grpc-protocol-"
_NAME = "admin-key"
ADMIN_HEADER = _PREFIX + _NAME

#: What changes a server, or writes files on it.
CONTROL = ("model-repository", "trace", "logging")
SHARED_MEMORY = "shared-memory"
#: All that there is over HTTP, but for health.
_ALL = ("metadata", "inference", "model-config", "statistics", SHARED_MEMORY, *CONTROL)

#: tritonserver takes the option apart at colons, commas and equals signs.
_KEY = re.compile(r"[A-Za-z0-9._~+/-]+")
_FILE = click.Path(path_type=Path, dir_okay=False)

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True)
class Access:
    """What the options say. `admin_key` is the key itself."""

    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_clients: Path | None = None
    admin_key: str | None = field(default=None, repr=False)
    shared_memory: bool = False

    @property
    def tls(self) -> bool:
        """Whether gRPC is encrypted."""
        return self.tls_certificate is not None

    def options(self, *, public: bool) -> list[str]:
        """tritonserver's options; `public` says that other machines reach it."""
        return [*self._tls(), *self._grpc(public), *self._http(public)]

    def _tls(self) -> list[str]:
        if self.tls_certificate is None:
            return []
        own = [f"--grpc-server-cert={self.tls_certificate}", f"--grpc-server-key={self.tls_key}"]
        clients = [f"--grpc-root-cert={self.tls_clients}", "--grpc-use-ssl-mutual=1"] if self.tls_clients else []
        return ["--grpc-use-ssl=1", *own, *clients]

    def _grpc(self, public: bool) -> list[str]:
        return _restricted("--grpc-restricted-protocol", self._locked(public), _NAME, self._lock)

    def _http(self, public: bool) -> list[str]:
        """Triton's HTTP knows no TLS: beside TLS only health is left of it, and the key isn't taken there."""
        if self.tls_certificate:
            return _restricted("--http-restricted-api", _ALL, ADMIN_HEADER, _unknown_key())
        return _restricted("--http-restricted-api", self._locked(public), ADMIN_HEADER, self._lock)

    def _locked(self, public: bool) -> Sequence[str]:
        """What needs the key, or, where there is none, can't be had at all."""
        shared_memory = () if self.shared_memory else (SHARED_MEMORY,)
        if self.admin_key:
            return (*shared_memory, *CONTROL, "statistics")
        return (*shared_memory, *(CONTROL if public else ()))

    @property
    def _lock(self) -> str:
        return self.admin_key or _unknown_key()


def _unknown_key() -> str:
    """A key that nobody is told: Triton has no other way to turn an interface off."""
    return secrets.token_hex(32)


def _restricted(option: str, what: Sequence[str], name: str, key: str) -> list[str]:
    return [f"{option}={','.join(what)}:{name}={key}"] if what else []


def access_options(command: Command) -> Command:
    """Decorator: the command takes the options, and gets them, checked, as the argument `access`."""

    @functools.wraps(command)
    def called(
        *arguments: Any,
        tls_certificate: Path | None,
        tls_key: Path | None,
        tls_clients: Path | None,
        admin_key: Path | None,
        shared_memory: bool,
        **options: Any,
    ) -> Any:
        check_tls(tls_certificate, tls_key, tls_clients)
        access = Access(
            tls_certificate=tls_certificate,
            tls_key=tls_key,
            tls_clients=tls_clients,
            admin_key=read_key(admin_key) if admin_key else None,
            shared_memory=shared_memory,
        )
        return command(*arguments, access=access, **options)

    for option in reversed(_OPTIONS):
        called = option(called)
    return called  # type: ignore[return-value]


_OPTIONS = (
    click.option("--tls-certificate", type=_FILE, metavar="FILE", help="gRPC with TLS: the server's certificate, PEM."),
    click.option("--tls-key", type=_FILE, metavar="FILE", help="Its key, PEM."),
    click.option("--tls-clients", type=_FILE, metavar="FILE", help="Only clients that these authorities vouch for."),
    click.option(
        "--admin-key",
        type=_FILE,
        metavar="FILE",
        help="File with a key without which nobody loads models, traces, changes logging, reads statistics or shares "
        "memory.",
    ),
    click.option("--shared-memory", is_flag=True, help="Let all clients hand tensors over in this machine's memory."),
)


def check_tls(certificate: Path | None, key: Path | None, clients: Path | None) -> None:
    """A usage error or ScriptError unless these can be used together: tritonserver's own messages don't say why."""
    if (certificate is None) != (key is None):
        raise click.UsageError("TLS needs a certificate and its key; give both --tls-certificate and --tls-key")
    if clients and not certificate:
        raise click.UsageError("--tls-clients asks for TLS; give --tls-certificate and --tls-key, too")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if certificate and key:
        for path in (certificate, key):
            _read(path)
        try:
            context.load_cert_chain(certificate, key, password=lambda: "")
        except (ssl.SSLError, ValueError) as error:
            raise ScriptError(
                f"{certificate} and {key} can't serve TLS ({_reason(error)}); give a certificate and its own key, PEM "
                "and without a password"
            ) from error
    if clients:
        _read(clients)
        try:
            context.load_verify_locations(clients)
        except ssl.SSLError as error:
            raise ScriptError(f"{clients} has no certificates of authorities ({_reason(error)}); give PEM") from error


def _reason(error: Exception) -> str:
    return (error.reason or "not PEM") if isinstance(error, ssl.SSLError) else str(error)


def read_key(path: Path) -> str:
    """The key in a file, without the newline at its end; ScriptError, which doesn't show it, if it can't be one."""
    key = _read(path).decode("utf-8", "replace").strip()
    if not key:
        raise ScriptError(f"{path} is empty; put a key there: openssl rand -hex 32")
    if not _KEY.fullmatch(key):
        raise ScriptError(
            f"the key in {path} must be one line of letters, digits and any of . _ ~ + / -; make one: "
            "openssl rand -hex 32"
        )
    return key


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error
