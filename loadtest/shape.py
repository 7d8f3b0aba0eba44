"""Load shapes as data: a TOML file says how many users there are when.

end = "stop"            # or "hold": go on with the last stage until it is stopped by hand

[[stage]]
until_s = 60            # seconds from the start of the test
users = 4
spawn_rate = 4          # users a second; all at once if it is left out

[[stage]]
until_s = 120
users = 16
ramp = true             # from the previous stage's users to these, linearly
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtest.errors import LoadTestError
from loadtest.toml import read_toml

#: Users a second where a stage doesn't say: all at once, as far as Locust doesn't warn.
_AT_ONCE = 100.0

_ENDS = ("stop", "hold")
_FIELDS = ("until_s", "users", "spawn_rate", "ramp")


@dataclass(frozen=True)
class Stage:
    """A stretch of time that ends `until_s` seconds after the start."""

    until_s: float
    users: int
    spawn_rate: float = _AT_ONCE
    ramp: bool = False


@dataclass(frozen=True)
class Shape:
    """Stages one after another."""

    stages: tuple[Stage, ...]
    hold: bool = False

    def at(self, seconds: float) -> tuple[int, float] | None:
        """Users, and how many of them start a second; None once it is over."""
        begin_s, users = 0.0, 0
        for stage in self.stages:
            if seconds < stage.until_s:
                part = (seconds - begin_s) / (stage.until_s - begin_s) if stage.ramp else 1.0
                return max(1, round(users + part * (stage.users - users))), stage.spawn_rate
            begin_s, users = stage.until_s, stage.users
        last = self.stages[-1]
        return (last.users, last.spawn_rate) if self.hold else None


def read(path: Path) -> Shape:
    """The shape in a file; LoadTestError, in one line, if there is none."""
    content = read_toml(path)
    try:
        return _shape(content)
    except ValueError as error:
        raise LoadTestError(f"{path}: {error}") from error


def _shape(content: Mapping[str, Any]) -> Shape:
    _only(content, ("end", "stage"), "the file")
    tables = content.get("stage")
    if not isinstance(tables, list) or not tables or not all(isinstance(each, dict) for each in tables):
        raise ValueError("it has no [[stage]]")
    if (end := content.get("end", "stop")) not in _ENDS:
        raise ValueError(f"end is {end!r}; it must be {' or '.join(_ENDS)}")
    stages = tuple(_stage(number, table) for number, table in enumerate(tables, 1))
    for number, (before, stage) in enumerate(zip((Stage(0, 0), *stages), stages, strict=False), 1):
        if stage.until_s <= before.until_s:
            raise ValueError(f"stage {number}: until_s is {stage.until_s:g}; it must be above {before.until_s:g}")
    return Shape(stages, hold=end == "hold")


def _stage(number: int, table: Mapping[str, Any]) -> Stage:
    where = f"stage {number}"
    _only(table, _FIELDS, where)
    users, ramp = table.get("users"), table.get("ramp", False)
    if type(users) is not int or users < 1:
        raise ValueError(f"{where}: users is {users!r}; it must be a whole number of at least 1")
    if type(ramp) is not bool:
        raise ValueError(f"{where}: ramp is {ramp!r}; it must be true or false")
    until_s = _positive(where, "until_s", table.get("until_s"))
    return Stage(until_s, users, _positive(where, "spawn_rate", table.get("spawn_rate", _AT_ONCE)), ramp)


def _positive(where: str, name: str, value: Any) -> float:
    if type(value) not in (int, float) or not 0 < value < float("inf"):
        raise ValueError(f"{where}: {name} is {value!r}; it must be a number above 0")
    return float(value)


def _only(table: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    if unknown := [name for name in table if name not in known]:
        raise ValueError(f"{where} has {unknown[0]!r}; there are {', '.join(known)}")
