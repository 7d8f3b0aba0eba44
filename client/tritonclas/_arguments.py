"""What callers may ask for: InvalidRequest names the argument that is wrong, before anything is sent."""

from __future__ import annotations

import os
from collections.abc import Sequence

from PIL import Image

from tritonclas.errors import InvalidRequest
from tritonclas.served import version_name

#: A year: longer timeouts don't fit the units that gRPC and Triton count them in.
MAX_TIMEOUT_S = 365 * 86_400.0
MAX_COUNT = 2**31 - 1
#: Before a host name that gRPC resolves to several addresses.
DNS = "dns:///"


def endpoints_of(url: str | Sequence[str]) -> tuple[str, ...]:
    """One endpoint, or several, each once."""
    endpoints = (url,) if isinstance(url, str) else tuple(dict.fromkeys(url))
    if not endpoints:
        raise InvalidRequest("there is no endpoint; give HOST:PORT, or several")
    for endpoint in endpoints:
        check_endpoint(endpoint.removeprefix(DNS) if len(endpoints) == 1 else endpoint)
    return endpoints


def check_one(url: object) -> None:
    """A client of one server takes one endpoint."""
    if not isinstance(url, str) or url.startswith(DNS):
        raise InvalidRequest("this client looks after one server; give its HOST:PORT")


def check_endpoint(url: str) -> None:
    """It must look like HOST:PORT."""
    host, separator, port = url.rpartition(":")
    numbered = port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 2**16
    if "/" in url or not (host and separator and numbered):
        raise InvalidRequest(f"{url!r} isn't a gRPC endpoint; give HOST:PORT, such as localhost:8001")


def checked_name(model: str, version: int | None) -> str:
    """The name that this version of a model is served by."""
    if version is not None:
        check_counts(version=version)
    return version_name(model, version)


def check_counts(**values: int) -> None:
    """Counts must be positive and fit 32 bits."""
    for name, value in values.items():
        if not 1 <= value <= MAX_COUNT:
            raise InvalidRequest(f"{name} is {value}; it must be from 1 to {MAX_COUNT}")


def check_timeout(timeout_s: float) -> None:
    """Seconds, at most a year, and a number; no time at all is a deadline that is over already."""
    if not timeout_s <= MAX_TIMEOUT_S:
        raise InvalidRequest(f"timeout_s is {timeout_s}; it must be at most {MAX_TIMEOUT_S:g} seconds")


def check_several(images: object) -> None:
    """A path, bytes, a file or pixels may be iterated over, but what that gives aren't images."""
    single = isinstance(images, (str, bytes, bytearray, memoryview, os.PathLike, Image.Image))
    if single or callable(getattr(images, "read", None)) or getattr(images, "ndim", 4) == 3:
        raise InvalidRequest(f"{type(images).__name__} is one image; give a list of images, or call classify")
