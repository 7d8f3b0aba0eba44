"""A Triton as a command, the one entry point: the embedded one on this machine, or NVIDIA's in its image."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import click

from backends.openvino.bfloat16 import cpu_flags
from scripts import nvidia, supervise
from scripts.access import Access, access_options
from scripts.arguments import repository_option
from scripts.embedded import EmbeddedServer
from scripts.ports import LOOPBACK, Ports, is_loopback
from scripts.processes import termination_as_interrupt
from scripts.repository import check_cpu, check_known, check_profile, check_servable
from scripts.tritonserver import EXIT_TIMEOUT_S, Serving
from tritonclas.cli import example

port = click.IntRange(0, 65535)
EPILOG = example("python -m scripts.serve EfficientNetB0 --grpc-port 8001 -- --log-verbose=1")


@click.command(epilog=EPILOG)
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--profile", help="Read configs/<profile>.pbtxt instead of config.pbtxt, as cpu-bf16.")
@repository_option
@click.option("--address", default=LOOPBACK, show_default=True, help="0.0.0.0 lets other machines in.")
@click.option("--http-address", metavar="TEXT", help="The same for HTTP alone.  [default: --address]")
@click.option("--metrics-address", metavar="TEXT", help="The same for metrics alone.  [default: --address]")
@click.option("--grpc-port", type=port, default=8001, show_default=True, help="0 takes a free one.")
@click.option("--http-port", type=port, default=8000, show_default=True)
@click.option("--metrics-port", type=port, default=8002, show_default=True)
@access_options
@click.option("--response-cache", "cache_mib", type=click.IntRange(1), help="MiB for answers to repeated requests.")
@click.option("--isolated", is_flag=True, help="Each backend instance in a process of its own, as NVIDIA's; slower.")
@click.option("--start-timeout", "start_timeout_s", type=float, default=300.0, show_default=True, help="Seconds.")
@click.option(
    "--exit-timeout",
    "exit_timeout_s",
    type=click.IntRange(0),
    default=EXIT_TIMEOUT_S,
    show_default=True,
    help="Seconds that requests under way may take after SIGTERM.",
)
@termination_as_interrupt()  # from the first moment on: as a container's process 1 it would ignore a SIGTERM
def main(
    names: tuple[str, ...],
    *,
    profile: str | None,
    repository: Path,
    address: str,
    http_address: str | None,
    metrics_address: str | None,
    grpc_port: int,
    http_port: int,
    metrics_port: int,
    access: Access,
    cache_mib: int | None,
    isolated: bool,
    start_timeout_s: float,
    exit_timeout_s: int,
) -> None:
    """Serve models until Ctrl-C or SIGTERM, with the embedded Triton.

    Where TRITONCLAS_TRITONSERVER names another tritonserver, as in the project's image for GPUs, that one does it. What
    follows -- goes to tritonserver as it is.
    """
    models, options = split_options(names)
    if any(option.startswith("--exit-timeout-secs") for option in options):
        raise click.UsageError(
            "--exit-timeout says it, before --; after -- this command wouldn't know how long to wait"
        )
    public = not all(map(is_loopback, (address, http_address or address)))
    serving = Serving(
        models=models,
        repository=repository,
        profile=profile,
        address=address,
        http_address=http_address,
        metrics_address=metrics_address,
        ports=Ports(grpc_port, http_port, metrics_port),
        exit_timeout_s=exit_timeout_s,
        options=[*access.options(public=public), *_cache(cache_mib), *options],
    )
    warn(serving)
    if tritonserver := nvidia.program():
        check(models, repository, profile, nvidia.check_profile)
        ports = serving.ports.chosen(address, http_address, metrics_address)
        return nvidia.serve(tritonserver, replace(serving, ports=ports))
    check(models, repository, profile, check_here)
    return serve_embedded(serving, asks_http=access.tls, isolated=isolated, start_timeout_s=start_timeout_s)


def serve_embedded(serving: Serving, *, asks_http: bool, isolated: bool, start_timeout_s: float) -> None:
    """Start the embedded server, say when it is ready, and wait for the end."""
    server = EmbeddedServer(
        **vars(serving),
        asks_http=asks_http,
        isolated=isolated,
        start_timeout_s=start_timeout_s,
        log=lambda line: click.echo(line, err=True),
    )
    with server:
        names = ", ".join(serving.models)
        click.echo(f"{names} ready: gRPC {server.url}, HTTP :{server.ports.http}, metrics :{server.ports.metrics}")
        supervise.wait_for_end(server.process)


def warn(serving: Serving) -> None:
    """Say so if others can reach what Triton can't defend."""
    for name, address in (("http", serving.http_address), ("metrics", serving.metrics_address)):
        if not is_loopback(address or serving.address):
            click.echo(
                f"Warning: whoever reaches Triton's {name} port can end this server (docs/security.md); unless a "
                f"firewall says who does, give --{name}-address {LOOPBACK}",
                err=True,
            )


def check(
    models: Sequence[str],
    repository: Path,
    profile: str | None,
    runs_here: Callable[[Sequence[str], Path, str], None],
) -> None:
    """ScriptError, saying what to do, unless a server here can serve these models with this profile."""
    for model in models:
        check_known(model, repository)
    if profile:
        check_profile(models, repository, profile)
        runs_here(models, repository, profile)
    for model in models:
        check_servable(model, repository, profile)


def check_here(models: Sequence[str], repository: Path, profile: str) -> None:
    """ScriptError unless the embedded server can run the profile on this machine."""
    check_cpu(models, repository, profile, cpu_flags())


def split_options(arguments: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """Model names, and from the first word that begins with a dash on, tritonserver's options."""
    names = list(itertools.takewhile(lambda word: not word.startswith("-"), arguments))
    if not names:
        raise click.UsageError("name at least one model before --")
    return names, arguments[len(names) :]


def _cache(mib: int | None) -> list[str]:
    return [f"--cache-config=local,size={mib * 2**20}"] if mib else []


if __name__ == "__main__":
    main()
