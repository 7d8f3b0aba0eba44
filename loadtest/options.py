"""The sweep's options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar

import click

from loadtest import compare, planfile
from loadtest.arguments import Seconds, Target, counts, inputs, names, rates, target
from loadtest.load import ARRIVALS, Arrivals, Load
from loadtest.mix import parse_mix
from loadtest.pictures import EXAMPLES
from loadtest.timing import Timing
from loadtest.workload import DEFAULT_TIMEOUT_S, INPUTS, Input
from tritonclas import Tls

Command = TypeVar("Command", bound=Callable[..., Any])

#: Users of a sweep that has neither --users nor --rates nor --slo.
_USERS = (1, 2, 4)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line or the plan says."""

    url: str
    models: tuple[str, ...]
    batch_sizes: tuple[int, ...]
    users: tuple[int, ...]
    rates: tuple[float, ...]
    arrivals: Arrivals
    slo: Target | None
    inputs: tuple[Input, ...]
    images: Path
    mix: Mapping[str, float] | None
    seed: int
    out: Path
    duration_s: float
    warm_up_s: float
    max_windows: int
    processes: int
    timeout_s: float
    profile: str
    device: str | None
    gpu: str | None
    metrics_url: str | None
    resume: bool
    tls: Tls | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def closed_users(self) -> tuple[int, ...]:
        """Users of the closed loops."""
        return self.users if self.users or self.rates or self.slo else _USERS

    @property
    def loads(self) -> list[Load]:
        """The closed loops, then the open ones."""
        return [
            *(Load(users=count) for count in self.closed_users),
            *(Load(rate_per_s=rate, arrivals=self.arrivals) for rate in self.rates),
        ]

    @property
    def timing(self) -> Timing:
        """How long a cell is measured."""
        return Timing(self.warm_up_s, self.duration_s, self.max_windows)


def _compare(context: click.Context, _parameter: click.Parameter, paths: tuple[Path, Path] | None) -> None:
    if paths:
        compare.compare(*paths)
        context.exit()


def sweep_options(command: Command) -> Command:
    """Decorator: the command takes all of them."""
    return reduce(lambda decorated, option: option(decorated), reversed(_OPTIONS), command)


_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option("--url", required=True, metavar="HOST:PORT", help="Triton's gRPC endpoint."),
    click.option(
        "--models", multiple=True, required=True, callback=names, metavar="NAME...", help="Names on the server."
    ),
    click.option(
        "--batch-sizes",
        multiple=True,
        default=["1,4,8"],
        show_default=True,
        callback=counts,
        metavar="N,...",
        help="Images a request.",
    ),
    click.option(
        "--users",
        multiple=True,
        callback=counts,
        metavar="N,...",
        help="Closed loops: each of so many users sends a request when the last one is answered.  [default: 1,2,4]",
    ),
    click.option(
        "--rates",
        multiple=True,
        callback=rates,
        metavar="N,...",
        help="Open loops: so many requests a second, whether or not earlier ones are answered.",
    ),
    click.option(
        "--arrivals",
        type=click.Choice(ARRIVALS),
        default="constant",
        show_default=True,
        help="How open loops spread them.",
    ),
    click.option(
        "--slo",
        callback=lambda _context, _parameter, text: target(text),
        metavar="p99=50ms",
        help="Search for the highest rate that holds this: avg, p50, p90, p95 or p99.",
    ),
    click.option(
        "--inputs",
        multiple=True,
        default=["encoded"],
        show_default=True,
        callback=inputs,
        metavar="NAME,...",
        help="Encoded files to the ensemble or crops (pixels) to the network; -shm through shared memory: "
        f"{', '.join(INPUTS)}.",
    ),
    click.option(
        "--images",
        type=click.Path(path_type=Path),
        default=EXAMPLES,
        show_default="the repository's examples",
        help="Folder with the pictures to send.",
    ),
    click.option(
        "--mix",
        callback=lambda _context, _parameter, text: None if text is None else parse_mix(text),
        metavar="KIND=SHARE,...",
        help="Send generated pictures instead: imagenet (500x375), thumbnail, photo (12 megapixels).",
    ),
    click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the generated pictures."),
    click.option(
        "--out",
        type=click.Path(path_type=Path),
        required=True,
        metavar="DIR",
        help="Folder for results.json, sweep.toml, report.html and report.md, which are replaced.",
    ),
    click.option(
        "--duration",
        "duration_s",
        type=Seconds(0, min_open=True),
        default=5.0,
        show_default=True,
        help="Seconds of a window; a cell has 3.",
    ),
    click.option(
        "--warm-up",
        "warm_up_s",
        type=Seconds(0),
        default=3.0,
        show_default=True,
        help="Seconds of load before a cell is measured.",
    ),
    click.option(
        "--max-windows",
        type=click.IntRange(3, 100),
        default=10,
        show_default=True,
        help="Windows are added, up to so many, until the last three agree within 10 %.",
    ),
    click.option(
        "--processes",
        type=click.IntRange(1, 64),
        default=1,
        show_default=True,
        help="Processes that make the load; more if cells are marked generator-bound.",
    ),
    click.option(
        "--timeout",
        "timeout_s",
        type=Seconds(0, min_open=True),
        default=DEFAULT_TIMEOUT_S,
        show_default=True,
        help="Seconds for a request.",
    ),
    click.option("--profile", default="default", show_default=True, help="The server's profile, for the report."),
    click.option(
        "--device", metavar="TEXT", help="What the server runs on, for the report.  [default: this CPU if it is here]"
    ),
    click.option("--gpu", metavar="NAME", help="The server's GPU, such as T4.  [default: nvidia-smi's if it is here]"),
    click.option("--metrics-url", metavar="URL", help="Triton's metrics.  [default: the port after gRPC's]"),
    click.option(
        "--plan",
        type=click.Path(path_type=Path),
        callback=planfile.read,
        is_eager=True,
        expose_value=False,
        metavar="FILE",
        help="TOML file with these options, such as the sweep.toml of another sweep.",
    ),
    click.option("--resume", is_flag=True, help="Keep the cells that DIR has already."),
    click.option(
        "--compare",
        type=click.Path(path_type=Path),
        nargs=2,
        callback=_compare,
        is_eager=True,
        expose_value=False,
        metavar="A B",
        help="Only compare two results.json.",
    ),
)
