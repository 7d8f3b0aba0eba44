"""How connections are made, blocking or not."""

from __future__ import annotations

import ipaddress
import json
import logging
import socket
from collections.abc import Iterator, Sequence
from typing import Final, Literal

from tritonclas._exchange import RpcFault
from tritonclas._security import Tls
from tritonclas.errors import InvalidRequest

_LOG = logging.getLogger("tritonclas")

#: Answers are a few kilobytes a picture; probabilities of a large batch stay far below this.
_MAX_ANSWER_BYTES: Final = 64 * 2**20
#: The reasons why the pictures of a batch are rejected travel in the status message, which gRPC counts as metadata.
_MAX_REASONS_BYTES: Final = 2**20

#: Requests go to the addresses in turn, to those that are connected. gRPC's own health checking isn't asked for:
#: Triton's health service has no Watch (UNIMPLEMENTED), and gRPC then takes every server for healthy.
_ROUND_ROBIN: Final = json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})

OPTIONS: Final = (
    ("grpc.max_send_message_length", -1),  # Triton's own limit holds
    ("grpc.max_receive_message_length", _MAX_ANSWER_BYTES),
    ("grpc.max_metadata_size", _MAX_REASONS_BYTES),
    # A server that has come up is noticed soon, not after gRPC's usual back-off of up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.enable_retries", 0),  # gRPC can't tell an overloaded server from a lost connection
)
_SEVERAL: Final = (*OPTIONS, ("grpc.service_config", _ROUND_ROBIN))

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


Options = tuple[tuple[str, object], ...]

#: How requests may be compressed, and gRPC's numbers for it (grpc_compression_algorithm).
Compression = Literal["deflate", "gzip"]
_ALGORITHMS: Final[dict[Compression, int]] = {"deflate": 1, "gzip": 2}


def check_compression(compression: str | None) -> None:
    """InvalidRequest if there is none of that name."""
    if compression is not None and compression not in _ALGORITHMS:
        raise InvalidRequest(f"compression is {compression!r}; it must be None, {' or '.join(map(repr, _ALGORITHMS))}")


def channel_of(
    endpoints: Sequence[str], tls: Tls | None = None, compression: Compression | None = None
) -> tuple[str, Options]:
    """Target and options of a gRPC channel to one endpoint, or to several in turn; RpcFault if no name resolves.

    A `dns:///HOST:PORT` is resolved by gRPC, again when connections are lost. Several endpoints are resolved here,
    once: gRPC has no name for a list of host names (its doc/naming.md).
    """
    own: Options = (("grpc.ssl_target_name_override", tls.server_name),) if tls and tls.server_name else ()
    if compression:
        own += (("grpc.default_compression_algorithm", _ALGORITHMS[compression]),)
    if len(endpoints) == 1:
        return endpoints[0], (*(_SEVERAL if endpoints[0].startswith("dns:") else OPTIONS), *own)
    return _several(endpoints), (*_SEVERAL, *own)


def _several(endpoints: Sequence[str]) -> str:
    addresses = [pair for endpoint in endpoints for pair in _resolved(endpoint)]
    if not addresses:
        raise RpcFault("UNAVAILABLE", f"DNS resolution failed for {', '.join(endpoints)}")
    if any(address.version == 6 for address, _ in addresses):
        return "ipv6:" + ",".join(f"[{_as_ipv6(address)}]:{port}" for address, port in addresses)
    return "ipv4:" + ",".join(f"{address}:{port}" for address, port in addresses)


def _resolved(endpoint: str) -> Iterator[tuple[_Address, str]]:
    host, _, port = endpoint.rpartition(":")
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        _LOG.warning("%s can't be resolved (%s); going on without it", endpoint, error)
        return
    yield from dict.fromkeys((ipaddress.ip_address(str(address[0]).partition("%")[0]), port) for *_, address in found)


def _as_ipv6(address: _Address) -> str:
    """An IPv4 address as IPv6 has it (RFC 4291, 2.5.5.2): a target has addresses of one kind."""
    return f"::ffff:{address}" if address.version == 4 else str(address)
