"""Arguments of the sweep: options that take several words, and lists with commas."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import click

from loadtest.workload import INPUTS
from tritonclas import TritonClasError

INTERRUPTED = 130  # 128 + SIGINT, as shells have it

_OBJECTIVE = re.compile(r"(avg|p50|p90|p95|p99)\s*(?:<=|=|<)\s*([0-9.]+)\s*(ms|s)", re.IGNORECASE)


class SweepCommand(click.Command):
    """A command whose repeatable options take several words, and whose errors are one line.

    `--models A B` is read as `--models A --models B`. Ctrl-C ends it with status 130.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the command line."""
        return super().parse_args(ctx, spread(args, self._repeatable()))

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; the SDK's errors become click's."""
        try:
            return super().invoke(ctx)
        except TritonClasError as error:
            raise click.ClickException(str(error)) from error
        except KeyboardInterrupt:
            click.echo("interrupted; the same command with --resume goes on with what is left", err=True)
            ctx.exit(INTERRUPTED)

    def _repeatable(self) -> set[str]:
        options = [param for param in self.params if isinstance(param, click.Option) and param.multiple]
        return {name for option in options for name in option.opts}


class Seconds(click.FloatRange):
    """A duration: neither endless nor nan."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Out of what was given."""
        seconds: float = super().convert(value, param, ctx)
        if not math.isfinite(seconds):
            self.fail(f"{value!r} isn't a number of seconds", param, ctx)
        return seconds


def spread(args: Sequence[str], options: Iterable[str]) -> list[str]:
    """Repeat each of these options before every further word that follows it, up to the next option."""
    spreading: str | None = None
    found: list[str] = []
    for at, word in enumerate(args):
        name = word.partition("=")[0]
        if word.startswith("-"):
            spreading = name if name in options else None
        elif spreading and args[at - 1] != spreading:
            found.append(spreading)
        found.append(word)
    return found


def names(_context: click.Context, _parameter: click.Parameter, words: Sequence[str]) -> tuple[str, ...]:
    """Callback: words with commas or without, each name once."""
    found = _parts(words)
    if words and not found:
        raise click.BadParameter("it has no name; give one or more, such as A,B")
    return found


def inputs(context: click.Context, parameter: click.Parameter, words: Sequence[str]) -> tuple[str, ...]:
    """Callback: some of the inputs."""
    found = names(context, parameter, words)
    if unknown := [name for name in found if name not in INPUTS]:
        raise click.BadParameter(f"there is no input {unknown[0]!r}; there are {', '.join(INPUTS)}")
    return found


def counts(_context: click.Context, _parameter: click.Parameter, words: Sequence[str]) -> tuple[int, ...]:
    """Callback: numbers of at least 1, with commas or without, each once."""
    parts = _parts(words)
    wrong = [part for part in parts if not part.isdecimal() or int(part) < 1]
    if wrong or (words and not parts):
        raise click.BadParameter(f"{wrong[0] if wrong else ''!r} isn't a number of at least 1; give such as 1,4,8")
    return tuple(map(int, parts))


def rates(_context: click.Context, _parameter: click.Parameter, words: Sequence[str]) -> tuple[float, ...]:
    """Callback: rates above 0, with commas or without, each once."""
    parts = _parts(words)
    wrong = [part for part in parts if not re.fullmatch(r"\d+(\.\d+)?", part) or float(part) <= 0]
    if wrong or (words and not parts):
        raise click.BadParameter(f"{wrong[0] if wrong else ''!r} isn't a rate above 0; give such as 10,20,40")
    return tuple(map(float, parts))


def _parts(words: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part for word in words for part in word.split(",") if part))


@dataclass(frozen=True)
class Target:
    """A latency objective: the quantile (a field of `Latency`) is at most so many milliseconds."""

    quantile: str
    limit_ms: float

    def __str__(self) -> str:
        return f"{self.quantile}={self.limit_ms:g}ms"


def target(text: str | None) -> Target | None:
    """Of a text such as p99=50ms; click.BadParameter if it is something else."""
    if text is None:
        return None
    match = _OBJECTIVE.fullmatch(text.strip())
    limit = match and re.fullmatch(r"\d+(\.\d+)?|\.\d+", match[2])
    if not match or not limit or float(match[2]) <= 0:
        raise click.BadParameter(f"{text!r} isn't an objective; give such as p99=50ms (avg, p50, p90, p95 or p99)")
    return Target(match[1].lower(), float(match[2]) * (1000 if match[3].lower() == "s" else 1))
