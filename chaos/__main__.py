"""Break things, print what became of it, and with --out write the page."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import click

from bench.models import repository
from chaos import page
from chaos.clients import clients
from chaos.clock import clock
from chaos.crashes import crashes
from chaos.disk import disk
from chaos.limits import TookTooLong, within
from chaos.load import MODEL
from chaos.not_here import NotHere
from chaos.overloaded import overloaded
from chaos.pictures import pictures
from chaos.replicas import replicas
from chaos.slow_network import slow_network
from chaos.soak import soak
from chaos.trial import Promise, Trial
from chaos.unloaded import unloaded
from scripts.processes import termination_as_interrupt
from tritonclas.cli import example


class Fault(Protocol):
    """Breaks something, once for each trial that it yields, with a model repository; `short` for tests."""

    def __call__(self, repository: Path, *, short: bool = False) -> Iterator[Trial]:
        """The trials."""


#: Each with the seconds that it may take at most, about three times what it takes.
FAULTS: dict[str, tuple[Fault, float]] = {
    "replicas": (replicas, 120),
    "overload": (overloaded, 150),
    "crashes": (crashes, 150),
    "pictures": (pictures, 300),
    "clients": (clients, 60),
    "disk": (disk, 180),
    "unloaded": (unloaded, 60),
    "clock": (clock, 90),
    "network": (slow_network, 90),
    "soak": (soak, 700),
}


@click.command(epilog=example("python -m chaos --only replicas --only overload"))
@click.option("--only", type=click.Choice(list(FAULTS)), multiple=True, help="These faults; the page keeps others.")
@click.option("--short", is_flag=True, help="As the tests do it: some 90 seconds for all.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False, exists=True), help="Folder for the page.")
def main(only: tuple[str, ...], *, short: bool, out: Path | None) -> None:
    """Provoke faults on real servers, on this machine, which should do nothing else meanwhile.

    All take 16 minutes, 10 of them the soak.

    The exit status is 1 if one isn't survived as promised.
    """
    logging.getLogger("tritonclas").setLevel(logging.WARNING)  # Locust, whose parts are used, shows every retry
    found = page.kept(out) if out and only else {}
    chosen = only or tuple(FAULTS)
    with termination_as_interrupt(), tempfile.TemporaryDirectory(prefix="tritonclas-chaos-") as cache:
        os.environ["XDG_CACHE_HOME"] = cache
        for name in chosen:
            found[name] = _tried(name, short=short)
            if out:  # after each, so that an interruption costs one
                page.write({each: found[each] for each in FAULTS if each in found}, out)
    if out:
        click.echo(f"{out / 'reliability.md'} written")
    if not all(trial.survived for name in chosen for trial in found[name] if isinstance(trial, Trial)):
        sys.exit(1)


def _tried(name: str, *, short: bool) -> list[Trial] | str:
    """The trials, told as they come; or why this machine can't."""
    fault, limit_s = FAULTS[name]
    trials: list[Trial] = []
    try:
        with within(limit_s):
            for trial in fault(repository(MODEL), short=short):
                click.echo("\n".join(page.said(trial)))
                trials.append(trial)
    except NotHere as why:
        click.echo(f"not tried: {why}", err=True)
        return str(why)
    except TookTooLong as error:
        promise = Promise(f"it ends within {limit_s:g} s", str(error), kept=False)
        trials.append(Trial(f"{name} hangs", "ended by its limit", {}, (), 0, None, (promise,)))
        click.echo("\n".join(page.said(trials[-1])))
    return trials


if __name__ == "__main__":
    main()
