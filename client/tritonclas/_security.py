"""Who the server is, who the client is, and what it says besides: TLS and headers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Union

import grpc

from tritonclas.errors import InvalidRequest

#: A file in PEM format, or its content.
Pem = Union[str, "PathLike[str]", bytes]
Headers = tuple[tuple[str, str], ...]

#: gRPC's rules (its doc/PROTOCOL-HTTP2.md, Custom-Metadata); it would raise without saying which header it is.
_NAME = re.compile(r"[0-9a-z_.-]+")
_VALUE = re.compile(r"[\x20-\x7e]*")


@dataclass(frozen=True)
class Tls:
    """An encrypted connection. Certificates and keys are PEM files, or their content.

    `ca` has the authorities that may vouch for the server, instead of those that gRPC comes with. `certificate` and
    `key` are the client's own, for servers that ask for them (mutual TLS). `server_name` is whose certificate is
    expected where that isn't the endpoint's host; several endpoints need one that all their certificates have.

        Classifier("triton.example:8001", "EfficientNetB0", tls=Tls(ca="ca.pem"))
    """

    ca: Pem | None = field(default=None, repr=False)
    certificate: Pem | None = field(default=None, repr=False)
    key: Pem | None = field(default=None, repr=False)
    server_name: str | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        """What gRPC takes; InvalidRequest if a file can't be read, or a key has no certificate or the reverse."""
        if (self.certificate is None) != (self.key is None):
            raise InvalidRequest("a client proves itself by a certificate and its key; give both, or neither")
        ca, key, certificate = (_content(name, getattr(self, name)) for name in ("ca", "key", "certificate"))
        return grpc.ssl_channel_credentials(ca, key, certificate)


def _content(name: str, pem: Pem | None) -> bytes | None:
    if pem is None:
        return None
    if isinstance(pem, str) and "-----BEGIN " in pem:  # never shown: it may be the key
        pem = pem.encode()
    if isinstance(pem, bytes):
        content, called = pem, f"the TLS {name} that was given"
    else:
        content, called = _read(Path(pem), name), f"the TLS {name} {pem}"
    if b"-----BEGIN " not in content:
        raise InvalidRequest(f"{called} isn't in PEM format (-----BEGIN ...)")
    return content


def _read(path: Path, name: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidRequest(f"the TLS {name} {path} can't be read ({error.strerror})") from error


def headers_of(headers: Mapping[str, str] | None) -> Headers:
    """Headers as gRPC sends them; InvalidRequest, which shows no value, if it couldn't."""
    found = tuple((str(name).lower(), value) for name, value in (headers or {}).items())
    for name, value in found:
        if not _NAME.fullmatch(name) or name.startswith("grpc-") or name.endswith("-bin"):
            shown = _NAME.match(name)  # no further: what stands there may be a secret in the wrong place
            raise InvalidRequest(
                f"a header's name that begins with {shown[0] if shown else ''!r} can't be one: it has letters, digits, "
                "'-', '_' and '.', and isn't grpc-... or ...-bin"
            )
        if not isinstance(value, str) or not _VALUE.fullmatch(value):
            raise InvalidRequest(f"the value of the header {name!r} has characters that aren't printable ASCII")
    return found
