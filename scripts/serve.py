"""The embedded server as a command: the real tritonserver on this machine, no container and no GPU needed."""

from __future__ import annotations

import contextlib
import itertools
import subprocess
from collections.abc import Sequence
from pathlib import Path

import click

from backends.openvino.bfloat16 import cpu_flags
from scripts import stubs
from scripts.embedded import LOOPBACK, EmbeddedServer, Ports
from scripts.errors import ServerError
from scripts.processes import Terminated, termination_as_interrupt
from scripts.render import REPOSITORY
from scripts.repository import check_cpu, check_known, check_profile, check_servable
from tritonclas.cli import example

#: Between looks at the backends' processes: each look reads all of the machine's.
_LOOK_S = 1.0

port = click.IntRange(0, 65535)
EPILOG = example("python -m scripts.serve EfficientNetB0 --grpc-port 8001 -- --log-verbose=1")


@click.command(epilog=EPILOG)
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--profile", help="Read configs/<profile>.pbtxt instead of config.pbtxt, as cpu-bf16.")
@click.option("--repository", type=click.Path(path_type=Path), default=REPOSITORY, show_default=True)
@click.option("--address", default=LOOPBACK, show_default=True, help="0.0.0.0 lets other machines in.")
@click.option("--grpc-port", type=port, default=8001, show_default=True, help="0 takes a free one.")
@click.option("--http-port", type=port, default=8000, show_default=True)
@click.option("--metrics-port", type=port, default=8002, show_default=True)
@click.option("--response-cache", "cache_mib", type=click.IntRange(1), help="MiB for answers to repeated requests.")
@click.option("--isolated", is_flag=True, help="Each backend instance in a process of its own; slower.")
@click.option("--start-timeout", "start_timeout_s", type=float, default=300.0, show_default=True, help="Seconds.")
def main(
    names: tuple[str, ...],
    *,
    profile: str | None,
    repository: Path,
    address: str,
    grpc_port: int,
    http_port: int,
    metrics_port: int,
    cache_mib: int | None,
    isolated: bool,
    start_timeout_s: float,
) -> None:
    """Serve models with the embedded Triton until Ctrl-C or SIGTERM.

    What follows -- goes to tritonserver as it is.
    """
    models, options = split_options(names)
    if cache_mib:
        options = [*options, f"--cache-config=local,size={cache_mib * 2**20}"]
    check(models, repository, profile)
    server = EmbeddedServer(
        models=models,
        repository=repository,
        profile=profile,
        ports=Ports(grpc_port, http_port, metrics_port),
        address=address,
        options=options,
        isolated=isolated,
        start_timeout_s=start_timeout_s,
        log=lambda line: click.echo(line, err=True),
    )
    with termination_as_interrupt(), server:
        click.echo(
            f"{', '.join(models)} ready: gRPC {server.url}, HTTP :{server.ports.http}, metrics :{server.ports.metrics}"
        )
        wait_for_end(server)


def check(models: Sequence[str], repository: Path, profile: str | None) -> None:
    """ScriptError, saying what to do, unless the embedded server can serve these models with this profile."""
    for model in models:
        check_known(model, repository)
    if profile:
        check_profile(models, repository, profile)
        check_cpu(models, repository, profile, cpu_flags())
    for model in models:
        check_servable(model, repository, profile)


def split_options(arguments: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """Model names, and from the first word that begins with a dash on, tritonserver's options."""
    names = list(itertools.takewhile(lambda word: not word.startswith("-"), arguments))
    if not names:
        raise click.UsageError("name at least one model before --")
    return names, arguments[len(names) :]


def wait_for_end(server: EmbeddedServer) -> None:
    """Return never; Ctrl-C ends it, and ServerError if the server or one of its backends' processes ends by itself.

    Then all of it ends, for whoever started this command to start it again.
    """
    watch = stubs.Watch(server.process.pid)
    try:
        while server.process.poll() is None:
            if watch.dead():
                server.process.kill()  # told to end, it would wait for what the dead one had to do, until it gives up
                raise ServerError("a backend's process has died, and Triton doesn't start it again; start this anew")
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.process.wait(_LOOK_S)
    except (KeyboardInterrupt, Terminated):
        click.echo("stopping", err=True)
        return
    raise ServerError(f"tritonserver ended with status {server.process.returncode}; its own log is above")


if __name__ == "__main__":
    main()
