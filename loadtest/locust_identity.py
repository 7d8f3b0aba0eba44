"""Who the server is and who the users are, where it asks: TLS and headers, as options of Locust's own command.

A master tells its workers the options, not the files: these must be where the users are, and at the master, which
checks them. Whoever may use the web UI can't change any of it, nor have headers sent elsewhere.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping

from loadtest.errors import LoadTestError
from tritonclas import Tls
from tritonclas._connection import header

#: By the names that the options have once they are parsed.
FIELDS = ("tls", "ca", "certificate", "key", "server_name", "header")


def add_options(add: Callable[..., None]) -> None:
    """Those of `tritonclas` with the same names; none is in the web UI, which anybody may be shown."""
    add("--tls", action="store_true", include_in_web_ui=False, help="Encrypt; implied by the options below")
    add("--ca", metavar="FILE", include_in_web_ui=False, help="PEM file of the authorities that vouch for the server")
    add("--certificate", metavar="FILE", include_in_web_ui=False, help="PEM file of the users' certificate")
    add("--key", metavar="FILE", include_in_web_ui=False, help="PEM file of its key")
    add("--server-name", metavar="NAME", include_in_web_ui=False, help="Whose certificate is expected, if not --host's")
    add(
        "--header",
        metavar="NAME=VALUE|NAME=@FILE",
        action="append",
        include_in_web_ui=False,
        help="Sent with each request, such as a key of Triton's restricted protocols; several times for several",
    )


def tls(options: Namespace) -> Tls | None:
    """None where none of the options asks for it."""
    about = [each or None for each in (options.ca, options.certificate, options.key, options.server_name)]
    return Tls(*about) if options.tls or any(about) else None


def headers(options: Namespace) -> Mapping[str, str]:
    """By name; LoadTestError if one is none, or its file can't be read."""
    try:
        return dict(header(text) for text in options.header or () if text)
    except ValueError as error:
        raise LoadTestError(f"--header: {error}") from error


def refusal(options: Namespace, host: str | None, form: Mapping[str, str]) -> str | None:
    """Why a form may not start a test, None if it may: `host` is the server that the command line names."""
    if any(name in form for name in FIELDS):
        return "TLS and headers are for the command line alone; start locust anew"
    if headers(options) and form.get("host", host) != host:
        return f"the headers are for {host or 'the server of --host'} alone; start locust anew for another one"
    return None
