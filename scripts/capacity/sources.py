"""Where the figures come from: the published table, a load test's results, the committed benchmarks."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from loadtest.cell import Cell
from loadtest.results import Results
from scripts.capacity.plan import Basis, Mode, images_per_s
from scripts.errors import ScriptError
from tritonclas.published import published_latencies
from tritonclas.zoo import MODELS, Model

BENCHMARKS = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.json"
#: The benchmarks' JPEGs, and the bytes of their files (`bench.pictures`).
PICTURES = {"500x375": 43_580, "4000x3000": 791_886}
#: Of the benchmarks: what Triton does for a request besides preparing and computing, its caches full of other things.
SERVING = ("EfficientNetB0, JPEG 500x375, batch 1, 4 clients", "between two runs: the server")
#: GPU and precision of the published columns.
COLUMNS = (("V100", "fp32"), ("T4", "fp16"), ("T4", "fp32"))


def published(models: Sequence[Model]) -> list[Basis]:
    """A basis for each model and column of the published table; none where the table has a dash, or no row."""
    latencies, found = published_latencies(), []
    for gpu, precision in COLUMNS:
        for model in models:
            speeds = {
                batch: images_per_s(batch, latency)
                for (name, *column, batch), latency in latencies.items()
                if latency and (name, *column) == (model.name, gpu, precision)
            }
            if speeds:
                place = f"{gpu}, {precision.upper()}"
                found.append(
                    Basis(model=model.name, place=place, crop=model.crop, classes=model.classes, images_per_s=speeds)
                )
    return found


def measured(path: Path, mode: Mode, models: Sequence[Model] = ()) -> list[Basis]:
    """A basis for each model of a sweep: the most images a second at each batch size that it answered without failures.

    A LoadTestError if the file isn't a sweep's; a ScriptError if nothing in it can be planned with.
    """
    results, wanted = Results.read(path), {model.name for model in models}
    given = "encoded" if mode == "server" else "pixels"
    cells = [cell for cell in results.cells if cell.input == given and not cell.failures and cell.images_per_s > 0]
    found = _by_model(cell for cell in cells if cell.model in MODELS and (not wanted or cell.model in wanted))
    if not found:
        of = f" of {', '.join(sorted(wanted))}" if wanted else ""
        raise ScriptError(
            f"{path} has no cell{of} with {given} pictures and without failures; "
            f"measure it: python -m loadtest.sweep --inputs {given}"
        )
    place = f"{results.header.device}, {results.header.profile}"
    return [
        Basis(
            model=name,
            place=place,
            crop=MODELS[name].crop,
            classes=MODELS[name].classes,
            images_per_s=speeds,
            whole=True,
        )
        for name, speeds in found.items()
    ]


def _by_model(cells: Iterable[Cell]) -> dict[str, dict[int, float]]:
    found: defaultdict[str, dict[int, float]] = defaultdict(dict)
    for cell in cells:
        speeds = found[cell.model]
        speeds[cell.batch_size] = max(speeds.get(cell.batch_size, 0.0), cell.images_per_s)
    return dict(found)


@dataclass(frozen=True)
class Costs:
    """What preparing each of PICTURES, and serving a request besides, takes of a core in ms, and on which machine."""

    preparing_ms: Mapping[str, float]
    request_ms: float
    machine: str

    @classmethod
    def read(cls, path: Path = BENCHMARKS) -> Costs:
        """What was measured; ScriptError, naming the options that give it otherwise, if the file doesn't say."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            compared = {each["name"]: each for each in content["comparisons"]["preprocessing"]}
            row, column = SERVING
            table = content["comparisons"]["floor"][0]
            served = {first: others for first, *others in table["rows"]}[row][table["columns"].index(column) - 1]
            preparing = {
                name: statistics.median(compared[f"preprocessing on one core, JPEG {name} to 224x224"]["ours_s"]) * 1000
                for name in PICTURES
            }
            return cls(preparing, float(served.split()[0]), content["header"]["machine"])
        except (OSError, ValueError, LookupError, TypeError, StopIteration) as error:
            raise ScriptError(
                f"{path} doesn't say what a picture costs; give --picture-ms, --picture-kb and --request-ms, "
                "or measure: make bench"
            ) from error
