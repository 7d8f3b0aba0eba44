"""What was measured of a row, and where it is kept, so that an interrupted survey goes on where it stopped."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from scripts.errors import ScriptError
from scripts.files import write_whole

#: Raise it when something else is measured, or in another way: then everything is measured anew.
SURVEY_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Latency:
    """One user's requests of one batch size: how many, mean and median in ms, and images a second."""

    requests: int
    avg_ms: float
    p50_ms: float
    images_per_s: float


@dataclass(frozen=True, kw_only=True)
class Record:
    """A row the whole way. Times are seconds, sizes bytes; `date` is the day (UTC, ISO 8601).

    `fetch_s` is what making the archive took, `export_s` converting and exporting it, `populate_peak` the most
    memory that populate took. `difference` is the largest one of a probability between Paddle and the ONNX model,
    `served_difference` that between Paddle and what the SDK got from the server. `server_memory` is the server's with
    two instances, after the load test. `latency` is by batch size.
    """

    model: str
    key: str
    date: str
    weights: str
    onnx: int
    fetch_s: float
    fetch_peak: int
    export_s: float
    verify_s: float
    populate_peak: int
    difference: float
    load_s: float
    served_difference: float
    server_memory: int
    latency: dict[int, Latency]


@dataclass(frozen=True, kw_only=True)
class Machine:
    """On what and with what it was measured."""

    processor: str
    cores: int
    memory: int
    system: str
    versions: dict[str, str]


@dataclass(frozen=True)
class Survey:
    """All rows, and the machine."""

    machine: Machine
    records: tuple[Record, ...]

    def write(self, path: Path) -> None:
        """Put it into a JSON file, whole."""
        write_whole(path, json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> Survey:
        """What `write` has written."""
        content = json.loads(path.read_text(encoding="utf-8"))
        return cls(Machine(**content["machine"]), tuple(map(_record, content["records"])))


def keep(record: Record, folder: Path) -> None:
    """Keep a row's record."""
    write_whole(folder / f"{record.model}.json", json.dumps(asdict(record), indent=1) + "\n")


def kept(model: str, key: str, folder: Path) -> Record | None:
    """The row's record, if it was measured with all that `key` stands for as it is now."""
    path = folder / f"{model}.json"
    if not path.is_file():
        return None
    try:
        record = _record(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise ScriptError(f"{path} is damaged ({error}); remove it, or begin anew with --fresh") from error
    return record if record.key == key else None


def _record(content: dict[str, object]) -> Record:
    latency = {int(size): Latency(**each) for size, each in content["latency"].items()}  # type: ignore[attr-defined]
    return Record(**{**content, "latency": latency})  # type: ignore[arg-type]
