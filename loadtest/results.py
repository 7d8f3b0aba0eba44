"""What a sweep has measured, and `results.json`, which keeps it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from loadtest.cell import Cell, cell_from
from loadtest.errors import LoadTestError
from loadtest.load import Arrivals

FILE = "results.json"


@dataclass(frozen=True, kw_only=True)
class Header:
    """Under which conditions.

    `device` is what the server runs on, `gpu` and `driver` its GPU and that one's driver where they could be asked
    for (None otherwise, also without a GPU). `date` is in UTC and ISO 8601. `duration_s` is a window's length, of which
    a cell has at most `max_windows`, and `timeout_s` a request's limit. `pictures` and `generator` say in words what
    was sent and by what, `pictures_digest` tells these pictures from others.
    """

    server_version: str
    profile: str
    device: str
    client_version: str
    date: str
    duration_s: float
    warm_up_s: float
    gpu: str | None = None
    driver: str | None = None
    pictures: str = ""
    pictures_digest: str = ""
    generator: str = ""
    url: str = ""
    timeout_s: float | None = None
    max_windows: int | None = None


@dataclass(frozen=True, kw_only=True)
class Objective:
    """The highest rate that held a latency objective, found by trying rates (the sweep's open-loop cells).

    The objective: the latency's `quantile` (such as "p99") is at most `limit_ms`, and no request fails. `rate_per_s`
    is the highest rate of requests that held it, None if none did; `broken_per_s` the lowest tried that didn't, None if
    there is none: all held it, or one user alone broke it.
    """

    model: str
    batch_size: int
    input: str
    quantile: str
    limit_ms: float
    rate_per_s: float | None
    broken_per_s: float | None
    arrivals: Arrivals = "constant"

    @property
    def key(self) -> tuple[object, ...]:
        """What was searched for."""
        return self.model, self.batch_size, self.input, self.quantile, self.limit_ms, self.arrivals

    @property
    def images_per_s(self) -> float | None:
        """The same rate in images."""
        return None if self.rate_per_s is None else self.rate_per_s * self.batch_size


@dataclass(frozen=True)
class Results:
    """A sweep's header, the cells that were measured, in that order, and the objectives that were searched for."""

    header: Header
    cells: tuple[Cell, ...] = field(default=())
    objectives: tuple[Objective, ...] = field(default=())

    def with_cell(self, cell: Cell) -> Results:
        """The same and one more cell, in place of the one that was measured under the same load."""
        return replace(self, cells=(*(other for other in self.cells if other.key != cell.key), cell))

    def with_objective(self, objective: Objective) -> Results:
        """The same and one objective more, in place of what was found for it before."""
        others = (each for each in self.objectives if each.key != objective.key)
        return replace(self, objectives=(*others, objective))

    def write(self, folder: Path) -> None:
        """Put `results.json` into the folder; who reads it sees the old one or the new one."""
        write_whole(folder / FILE, json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> Results:
        """What `write` has written; LoadTestError if it is something else."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            objectives = tuple(Objective(**each) for each in content.get("objectives", ()))
            return cls(Header(**content["header"]), tuple(map(cell_from, content["cells"])), objectives)
        except OSError as error:
            raise LoadTestError(f"{path} can't be read ({error.strerror}); give the results.json of a sweep") from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise LoadTestError(f"{path} isn't the results.json of a sweep ({error})") from error


def write_whole(path: Path, text: str) -> None:
    """Write a file so that a reader never sees a part of it; LoadTestError if it can't be written."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        scratch.write_text(text, encoding="utf-8")
        scratch.replace(path)
    except OSError as error:
        raise LoadTestError(f"{path} can't be written ({error.strerror}); give --out another folder") from error
