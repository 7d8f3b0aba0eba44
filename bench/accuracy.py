"""Whether the load test is right, and how much load it can make: python -m bench.accuracy --out docs."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import click
import psutil

from bench import idle, page
from loadtest.fleet import Fleet
from loadtest.load import Load
from loadtest.measure import measure
from loadtest.pictures import EXAMPLES
from loadtest.samples import answered, latency
from loadtest.serverview import ServerView
from loadtest.timing import Timing
from loadtest.workload import Workload
from scripts.console import progress_console
from scripts.embedded import EmbeddedServer
from scripts.files import write_whole
from scripts.pipeline import populate
from tritonclas import ModelServer, zoo
from tritonclas.cli import example

MODEL = "EfficientNetB0"
ROUNDS = 6
WARM_UP_S = 0.8
#: Long enough for the requests that the load test wants of each of its three windows, at the largest batch.
MEASURED_S = 4.0
COST_ROUNDS = 3
USERS_OF_THE_CEILING = 16
BOUND = 0.05

PICTURES = sorted(EXAMPLES.glob("*.jpg"))


@dataclass(frozen=True)
class Agreement:
    """Both generators' figures of each round, which took turns; `apart` says that the server had cores of its own."""

    apart: bool
    batch_size: int
    users: int
    ours: tuple[tuple[float, float], ...]
    theirs: tuple[tuple[float, float], ...]

    def ratios(self, which: int) -> list[float]:
        """A ratio a round, ours / theirs: of images/s (0) or of the median latency (1)."""
        return [ours[which] / theirs[which] for ours, theirs in zip(self.ours, self.theirs, strict=True)]

    def ratio(self, which: int) -> float:
        """The median of the rounds' ratios."""
        return statistics.median(self.ratios(which))


@dataclass(frozen=True)
class Cost:
    """What makes the load: requests a second that were answered, and its own time a request, as medians of rounds."""

    what: str
    requests_per_s: float
    cpu_us: float
    rounds_cpu_us: tuple[float, ...] = ()


def agreements() -> Iterator[Agreement]:
    """The load test beside a generator that shares nothing with it, on the embedded server."""
    with tempfile.TemporaryDirectory(prefix="tritonclas-bench-") as folder:
        populate(zoo.find(MODEL), "synthetic", Path(folder))
        for apart in (True, False):
            with (
                EmbeddedServer([MODEL], Path(folder)) as server,
                on_cores(server.process.pid, apart),
                Fleet(1) as fleet,
            ):
                for batch_size, users in product((1, 4, 8), (1, 2, 4)):
                    rounds = [_round(fleet, server.url, batch_size, users, number) for number in range(ROUNDS)]
                    ours, theirs = zip(*rounds, strict=True)
                    yield Agreement(apart, batch_size, users, ours, theirs)


@contextmanager
def on_cores(server: int, apart: bool) -> Iterator[None]:
    """The server on all cores but one, and what this process starts on that one; or both on all."""
    every = os.sched_getaffinity(0)
    own = {max(every)}
    if not apart or every == own:
        yield
        return
    for process in (psutil.Process(server), *psutil.Process(server).children(recursive=True)):
        for thread in process.threads():
            os.sched_setaffinity(thread.id, every - own)
    os.sched_setaffinity(0, own)
    try:
        yield
    finally:
        os.sched_setaffinity(0, every)


Figures = tuple[float, float]


def _round(fleet: Fleet, url: str, batch_size: int, users: int, number: int) -> tuple[Figures, Figures]:
    """Ours and theirs; who begins changes."""
    if number % 2:
        theirs = _independent(url, batch_size, users)
        return _ours(fleet, url, MODEL, batch_size, users)[0], theirs
    ours = _ours(fleet, url, MODEL, batch_size, users)[0]
    return ours, _independent(url, batch_size, users)


def _ours(fleet: Fleet, url: str, model: str, batch_size: int, users: int) -> tuple[Figures, Cost]:
    workload = Workload(url, model, batch_size, tuple(path.read_bytes() for path in PICTURES))
    timing = Timing(WARM_UP_S, MEASURED_S / 3, max_windows=3)
    with ModelServer(url) as server:
        measured = measure(fleet, workload, Load(users=users), timing, ServerView(server))
    whole = measured.whole
    found = latency(whole.samples)
    assert found is not None
    begin, end = measured.counted
    cpu_s = sum(told.cpu_percent(begin.at_s, end.at_s) for told in measured.told) / 100 * (end.at_s - begin.at_s)
    cost = Cost("", whole.requests_per_s, 1e6 * cpu_s / len(answered(whole.samples)))
    return (whole.requests_per_s * batch_size, found.p50), cost


def _independent(url: str, batch_size: int, users: int) -> Figures:
    told = _told("bench.independent", url, MODEL, batch_size, users, WARM_UP_S, MEASURED_S, *PICTURES)
    return told["images_per_s"], told["p50_ms"]


def costs() -> Iterator[Cost]:
    """What a request costs that a model answers which does nothing: gRPC alone, the SDK, the load test's users."""
    with tempfile.TemporaryDirectory(prefix="tritonclas-bench-") as folder:
        idle.write(Path(folder))
        with EmbeddedServer([idle.NAME], Path(folder)) as server:
            rounds = [list(_cost_round(server.url)) for _ in range(COST_ROUNDS)]
    for same in zip(*rounds, strict=True):
        times_us = tuple(each.cpu_us for each in same)
        answered_per_s = statistics.median(each.requests_per_s for each in same)
        yield Cost(same[0].what, answered_per_s, statistics.median(times_us), times_us)


def _cost_round(url: str) -> Iterator[Cost]:
    for way, what in (("grpc", "gRPC alone, in greenlets"), ("sdk", "and the SDK")):
        told = _told("bench.greenlets", way, url, idle.NAME, USERS_OF_THE_CEILING, MEASURED_S, PICTURES[0])
        yield Cost(what, told["requests_per_s"], told["cpu_us"])
    for processes in (1, 2):
        with Fleet(processes) as fleet:
            cost = _ours(fleet, url, idle.NAME, 1, USERS_OF_THE_CEILING)[1]
        several = f", {processes} processes" if processes > 1 else ""
        yield Cost(f"and Locust: the load test{several}", cost.requests_per_s, cost.cpu_us)


def _told(module: str, *arguments: object) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=300,
    )
    told: dict[str, float] = json.loads(done.stdout)
    return told


_PAGE = """\
# Is the load test right?

- machine: {machine}
- versions: {versions}
- date: {date}

`python -m bench.accuracy --out docs` made this page, in half an hour. `loadtest_accuracy.json` has every round.

## Beside a generator that shares nothing with it

{model} on the embedded server, encoded JPEGs of the examples. The other generator is `bench/independent.py`: threads
and plain tritonclient, who make each request of the files' bytes; neither Locust, nor gevent, nor this SDK. Both take
turns, {rounds} rounds of {measured:g} s after {warm_up:g} s of warm-up; ratios are medians of the rounds' ratios, with
the lowest and the highest in brackets. Both should agree within 5 %.

The server on all cores but one, the generators on that one, as if each had a machine of its own:

{apart}

All on all cores: what the heavier client takes from the server is in its figures, too.

{together}

## The most that it can ask for

A model that does nothing, one picture a request, {users} users. The process's own time a request is what limits it:
a core has a million microseconds a second. Medians of {cost_rounds} rounds, the lowest and the highest in brackets.
Here the server needs the same cores, so that fewer requests were answered than one process can send. Of one process's
{all_us:,.0f} µs the SDK took {sdk_us:,.0f}, and Locust with the load test's users {locust_us:,.0f}.

{costs}
"""


def markdown(agreed: Sequence[Agreement], spent: Sequence[Cost]) -> str:
    """The page."""
    grpc, sdk, locust, *_ = (cost.cpu_us for cost in spent)
    return _PAGE.format(
        **page.header(),
        model=MODEL,
        rounds=ROUNDS,
        measured=MEASURED_S,
        warm_up=WARM_UP_S,
        users=USERS_OF_THE_CEILING,
        cost_rounds=COST_ROUNDS,
        all_us=locust,
        sdk_us=sdk - grpc,
        locust_us=locust - sdk,
        apart=_agreements(each for each in agreed if each.apart),
        together=_agreements(each for each in agreed if not each.apart),
        costs=_table(("what", "answered, requests/s", "µs a request", "one core could"), map(_spent, spent)),
    )


def _agreements(agreed: Iterable[Agreement]) -> str:
    columns = ("batch", "users", "images/s", "theirs", "ratio", "p50 ms", "theirs", "ratio", "")
    return _table(columns, map(_agreed, agreed))


def _agreed(each: Agreement) -> tuple[str, ...]:
    figures = [
        text
        for which in (0, 1)
        for text in (
            f"{statistics.median(round_[which] for round_ in each.ours):.1f}",
            f"{statistics.median(round_[which] for round_ in each.theirs):.1f}",
            f"{each.ratio(which):.2f} ({min(each.ratios(which)):.2f} to {max(each.ratios(which)):.2f})",
        )
    ]
    close = all(abs(each.ratio(which) - 1) <= BOUND for which in (0, 1))
    return (str(each.batch_size), str(each.users), *figures, "" if close else "**apart**")


def _spent(cost: Cost) -> tuple[str, ...]:
    spread = f"({min(cost.rounds_cpu_us):,.0f} to {max(cost.rounds_cpu_us):,.0f})"
    return (cost.what, f"{cost.requests_per_s:,.0f}", f"{cost.cpu_us:,.0f} {spread}", f"{1e6 / cost.cpu_us:,.0f}")


def _table(columns: Sequence[str], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [columns, ("---",) + ("---:",) * (len(columns) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


@click.command(epilog=example("python -m bench.accuracy --out docs"))
@click.option("--out", type=click.Path(path_type=Path, file_okay=False, exists=True), help="Folder for the page.")
def main(out: Path | None) -> None:
    """Compare the load test with an independent generator, and measure what it costs itself."""
    agreed, spent = [], []
    with progress_console.status("measuring"):
        for cost in costs():
            spent.append(cost)
            click.echo(" · ".join(_spent(cost)))
        for agreement in agreements():
            agreed.append(agreement)
            click.echo(" · ".join(_agreed(agreement)))
    if out:
        data = {"agreements": [asdict(each) for each in agreed], "costs": [asdict(each) for each in spent]}
        write_whole(out / "loadtest_accuracy.json", json.dumps({"header": page.header(), **data}, indent=1) + "\n")
        write_whole(out / "loadtest_accuracy.md", markdown(agreed, spent))


if __name__ == "__main__":
    main()
