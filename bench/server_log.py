"""When a starting server did what, as its log tells."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_LOADING = re.compile(r'"loading: (.*):\d+"')
_LOADED = re.compile(r"\"successfully loaded '(.*)'\"")
_LISTENING = re.compile('"Started GRPCInferenceService')


@dataclass(frozen=True)
class Line:
    """A line of the log, and the second since the start at which it came."""

    at_s: float
    text: str


@dataclass(frozen=True)
class Started:
    """Seconds since the start: of the first line, of the models' loading and of its end, of the port's opening."""

    first_s: float
    loading_s: dict[str, float]
    loaded_s: dict[str, float]
    listening_s: float


def started(lines: Sequence[Line]) -> Started:
    """What the lines tell; ValueError if they don't tell of a whole start."""
    loading = {found[1]: line.at_s for line in lines if (found := _LOADING.search(line.text))}
    loaded = {found[1]: line.at_s for line in lines if (found := _LOADED.search(line.text))}
    listening = [line.at_s for line in lines if _LISTENING.search(line.text)]
    if not listening or not loaded or loaded.keys() != loading.keys():
        raise ValueError("the server's log doesn't tell when its models were loaded, and when it opened its port")
    return Started(lines[0].at_s, loading, loaded, listening[0])
