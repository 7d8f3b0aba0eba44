"""`tritonclas stats --watch`: what a server does, interval after interval, in a terminal or as lines of JSON."""

from __future__ import annotations

import contextlib
import json
import math
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import Any

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tritonclas import AccessDenied, ModelServer, TritonClasError
from tritonclas._growth import Counters, Growth, growth
from tritonclas._tables import table_of, wide_console

#: Short, so that they fit a terminal of 80 columns beside a name.
_COLUMNS = ("model", "req/s", "img/s", "failed/s", "at once", "total", "queue", "input", "infer", "output")


class Seconds(click.FloatRange):
    """How long an interval of --watch is; a name that stands in its place is told where it belongs."""

    def __init__(self) -> None:
        super().__init__(min=0.1, max=86_400)

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> float:
        """A number of seconds."""
        try:
            if math.isnan(float(value)):
                raise ValueError
        except ValueError:
            self.fail(f"{value!r} isn't a number of seconds; a model's name comes before --watch", parameter, context)
        return float(super().convert(value, parameter, context))


@dataclass(frozen=True)
class Interval:
    """What the models did in the last so many seconds, or why nobody knows; `at` is its end."""

    at: datetime
    seconds: float
    models: list[Growth] = field(default_factory=list)
    error: str = ""


class Watch:
    """Reads a server's statistics again and again. `name` limits it to one model.

    What is wrong at the first reading is raised; later, a server that doesn't answer or a model that is gone may come
    back, and the interval says so. A refused key stays refused.
    """

    def __init__(self, server: ModelServer, name: str | None = None) -> None:
        self._server = server
        self._name = name
        self._ensembles: dict[tuple[str, str], bool] = {}
        self._at_s, self._before = time.monotonic(), self._read()

    def next(self) -> Interval:
        """What was done since the last reading that succeeded."""
        now_s = time.monotonic()
        seconds = now_s - self._at_s
        try:
            after = self._read()
        except AccessDenied:
            raise
        except TritonClasError as error:
            return Interval(_now(), seconds, error=str(error))
        grown = [
            growth(self._before.get(key), each, seconds, is_ensemble=self._is_ensemble(key))
            for key, each in sorted(after.items())
        ]
        self._at_s, self._before = now_s, after
        return Interval(_now(), seconds, grown)

    def _read(self) -> Counters:
        return {(each.name, each.version): each for each in self._server.statistics(self._name)}

    def _is_ensemble(self, key: tuple[str, str]) -> bool:
        if key not in self._ensembles:
            try:
                self._ensembles[key] = "ensemble_scheduling" in self._server.config(key[0])
            except TritonClasError:  # restricted, or gone again
                return False
        return self._ensembles[key]


def watch(server: ModelServer, name: str | None, every_s: float, *, as_json: bool) -> None:
    """Show every interval of so many seconds until Ctrl-C or SIGTERM, which is no error."""
    with contextlib.suppress(KeyboardInterrupt), _termination_as_interrupt(), _screen(as_json) as show:
        watching = Watch(server, name)
        begin_s = time.monotonic()
        while True:
            time.sleep(every_s - (time.monotonic() - begin_s) % every_s)
            show(watching.next())


@contextlib.contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    """Otherwise SIGTERM would leave a terminal without its cursor."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _screen(as_json: bool) -> Iterator[Callable[[Interval], None]]:
    """Where intervals are shown: each in the place of the last one in a terminal, else one after the other."""
    console = wide_console()
    if as_json:
        yield lambda interval: click.echo(json.dumps(_record(interval)))
    elif not console.is_terminal:
        yield lambda interval: console.print(_page(interval))
    else:
        with Live(Text("the first interval is being counted"), console=_own_width(), auto_refresh=False) as live:
            yield lambda interval: live.update(_page(interval), refresh=True)


def _own_width() -> Console:
    """Lines that a terminal breaks would make what is replaced longer than rich knows."""
    return Console(markup=False, emoji=False, highlight=False)


def _record(interval: Interval) -> dict[str, object]:
    known: dict[str, object] = {"error": interval.error} if interval.error else {}
    return {
        "time": interval.at.isoformat(timespec="milliseconds"),
        "seconds": round(interval.seconds, 3),
        **known,
        "models": [{key: _rounded(value) for key, value in asdict(each).items()} for each in interval.models],
    }


def _rounded(value: object) -> object:
    return round(value, 3) if isinstance(value, float) else value


def _page(interval: Interval) -> RenderableType:
    said = f"{interval.at.astimezone():%H:%M:%S} · {interval.seconds:.1f} s"
    if interval.error:
        return Text(f"{said} · no statistics: {interval.error}", style="bold")
    if not interval.models:
        return Text(f"{said} · no model is loaded", style="bold")
    versions = {
        each.name: [other.version for other in interval.models if other.name == each.name] for each in interval.models
    }
    rows = [
        _row(each, f"{each.name} {each.version}" if len(versions[each.name]) > 1 else each.name)
        for each in interval.models
    ]
    return Group(Text(f"{said} · means of a request in ms", style="bold"), _narrow(table_of(_COLUMNS, rows)))


def _narrow(table: Table) -> Table:
    """Where there isn't the width, it's the names that are broken."""
    name, *figures = table.columns
    name.overflow = "fold"
    for column in figures:
        column.no_wrap = True
    return table


def _row(each: Growth, name: str) -> tuple[str, ...]:
    means = (each.total_ms, each.queue_ms, each.compute_input_ms, each.compute_infer_ms, each.compute_output_ms)
    rates = (each.requests_per_s, each.images_per_s, each.failures_per_s)
    at_once = "-" if each.images_at_once is None else f"{each.images_at_once:.1f}"
    return (
        name,
        *(f"{rate:.1f}" for rate in rates),
        at_once,
        *("-" if mean is None else f"{mean:.2f}" for mean in means),
    )


def _now() -> datetime:
    return datetime.now(timezone.utc)
