"""Arguments of the sweep: options that take several words, and lists with commas."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import click

from tritonclas import TritonClasError

INTERRUPTED = 130  # 128 + SIGINT, as shells have it


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
            click.echo("interrupted", err=True)
            ctx.exit(INTERRUPTED)

    def _repeatable(self) -> set[str]:
        options = [param for param in self.params if isinstance(param, click.Option) and param.multiple]
        return {name for option in options for name in option.opts}


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
    return tuple(dict.fromkeys(part for word in words for part in word.split(",") if part))


def counts(context: click.Context, parameter: click.Parameter, words: Sequence[str]) -> tuple[int, ...]:
    """Callback: numbers of at least 1, with commas or without, each once."""
    parts = names(context, parameter, words)
    wrong = [part for part in parts if not part.isdecimal() or int(part) < 1]
    if wrong or not parts:
        raise click.BadParameter(f"{wrong[0] if wrong else ''!r} isn't a number of at least 1; give such as 1,4,8")
    return tuple(map(int, parts))
