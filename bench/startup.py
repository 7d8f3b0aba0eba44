"""How long it takes until something can be done: a server's start, an import, a model's way into the repository."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence

from bench import fresh
from bench.models import repository
from bench.server_log import Line, started
from bench.table import Table, figure, spread
from scripts.embedded import EmbeddedServer
from scripts.pipeline import STEPS
from scripts.versions import onnx_path
from tritonclas import zoo

MODEL = "EfficientNetB0"
ROUNDS = 5
#: What is imported, and by whom.
IMPORTS = {
    "nothing": "pass",
    "import tritonclas": "import tritonclas",
    "from tritonclas import Classifier": "from tritonclas import Classifier",
    "the command tritonclas": "import tritonclas.cli",
    "python -m scripts.serve": "import scripts.serve",
    "python -m scripts.populate": "import scripts.populate",
}
LARGEST = 4

#: What a backend does before it can answer, in a Python of its own: prints the seconds of each step.
_ENGINE = """\
import time, sys
begin = time.perf_counter()
import numpy, onnxruntime
imported = time.perf_counter()
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
made = time.perf_counter()
picture = {"pixels": numpy.zeros((1, *session.get_inputs()[0].shape[1:]), numpy.uint8)}
session.run(None, picture)
first = time.perf_counter()
session.run(None, picture)
print(imported - begin, made - imported, first - made, time.perf_counter() - first)
"""
_ENGINE_STEPS = ("import numpy and ONNX Runtime", "make the session", "first picture", "second picture")
_COLUMNS = ("part", "ms")
_SPREAD = f"Medians of {ROUNDS} starts, the shortest and the longest in brackets."


def startup() -> Iterator[Table]:
    """The server, the imports, and the model."""
    yield _serving()
    yield _engine()
    yield _imports()
    yield _populating()


def _serving() -> Table:
    rounds = [_start() for _ in range(ROUNDS)]
    note = (
        f"{_SPREAD} Both models are loaded at once. *Noticed* is from the server's opening its port to the client's "
        "knowing that all is ready. The command's own start comes before: python -m scripts.serve, below."
    )
    return _table(f"From EmbeddedServer's start to ready: {MODEL}", rounds, note)


def _start() -> dict[str, float]:
    """Milliseconds of the parts of a start."""
    lines: list[Line] = []
    server = EmbeddedServer(
        [MODEL], repository(MODEL), log=lambda text: lines.append(Line(time.perf_counter() - begin_s, text))
    )
    begin_s = time.perf_counter()
    with server:
        ready_s = time.perf_counter() - begin_s
        told = started(list(lines))
        stop_s = time.perf_counter()
    stopped_s = time.perf_counter()
    model = zoo.find(MODEL)
    loading_s, loaded_s = min(told.loading_s.values()), max(told.loaded_s.values())
    taken_s = {
        "folder and process, to the first line of the log": told.first_s,
        "to the models": loading_s - told.first_s,
        "models": loaded_s - loading_s,
        "· of these the preprocessing": told.loaded_s[model.preprocess_name] - loading_s,
        "· of these the network, with its warm-up": told.loaded_s[model.network_name] - loading_s,
        "port opened": told.listening_s - loaded_s,
        "noticed": ready_s - told.listening_s,
        "**all**": ready_s,
        "and the stop": stopped_s - stop_s,
    }
    return {name: 1000 * seconds for name, seconds in taken_s.items()}


def _engine() -> Table:
    path = onnx_path(MODEL, repository(MODEL))
    rounds = [dict(zip(_ENGINE_STEPS, _engine_ms(str(path)), strict=True)) for _ in range(ROUNDS)]
    return _table(f"What {MODEL}'s network needs, in a Python of its own with one thread", rounds, _SPREAD)


def _engine_ms(path: str) -> Sequence[float]:
    told = subprocess.run([sys.executable, "-c", _ENGINE, path], stdout=subprocess.PIPE, text=True, check=True).stdout
    return [1000 * float(each) for each in told.split()]


def _imports() -> Table:
    rows = tuple((name, *_import_cells(statement)) for name, statement in IMPORTS.items())
    note = (
        f"{_SPREAD} From the start of a Python to its end. The largest: whose modules took longest, ms, as "
        "`python -X importtime` counts, which makes all of them slower."
    )
    return Table("Imports in a fresh Python", ("what", "ms", "the largest"), rows, note)


def _import_cells(statement: str) -> tuple[str, str]:
    taken_ms = [1000 * taken_s for taken_s in fresh.seconds(statement, ROUNDS)]
    largest = list(fresh.by_package(statement).items())[:LARGEST] if statement != "pass" else []
    return spread(taken_ms), ", ".join(f"{package} {figure(ms)}" for package, ms in largest)


def _populating() -> Table:
    rounds = [_populate() for _ in range(ROUNDS)]
    note = f"{_SPREAD} *Fetch* makes the random weights. The rest is Python's start, imports and the check beforehand."
    return _table(f"populate {MODEL} --weights synthetic", rounds, note)


def _populate() -> dict[str, float]:
    """Milliseconds of the steps."""
    folder = repository(MODEL)
    options = ("--weights", "synthetic", "--repository", str(folder), "--force", "--json")
    begin_s = time.perf_counter()
    command = [sys.executable, "-m", "scripts.populate", MODEL, *options]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    all_s = time.perf_counter() - begin_s
    steps: Mapping[str, float] = json.loads(done.stdout)[0]["seconds"]
    taken_s = {step: steps[step] for step in STEPS} | {"the rest": all_s - sum(steps.values()), "**all**": all_s}
    return {name: 1000 * seconds for name, seconds in taken_s.items()}


def _table(name: str, rounds: Sequence[Mapping[str, float]], note: str) -> Table:
    """A row for each part, with the rounds' spread."""
    rows = tuple((part, spread([each[part] for each in rounds])) for part in rounds[0])
    return Table(name, _COLUMNS, rows, note)
