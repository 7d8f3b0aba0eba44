"""What became of all faults, as a page and as data."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.setting import is_same, setting
from bench.table import figure
from chaos.trial import Promise, Trial
from scripts.files import write_whole

_PACKAGES = ("tritonclas", "tritonclient", "grpcio", "nvidia-pytriton", "onnxruntime", "opencv-python-headless")

_INTRODUCTION = """\
# Reliability

What happens when something breaks: provoked on purpose, with real servers, and callers that go on meanwhile.
`make chaos` made this page, and `reliability.json` beside it, in one run; every `make test` does a part of it. Callers
are the SDK's, with its usual retries and a deadline for each call unless a row says otherwise.

- machine: {machine}
- versions: {versions}
- date: {date}

*Refused* calls ended with an error that such a fault may cause, and that says what was wrong, *failed* ones with
another one or a wrong answer, *lost* ones never. Back after: until calls are answered again, from the fault, or from
its end where it is made to end.
"""

_LEFT_TO_YOU = """\
## What is left to you

- **Somebody must start the server again when it ends**: systemd, Docker's restart policy, Kubernetes. By default the
  backends run inside tritonserver, and a crash in one ends all of it. With `--isolated` each instance is a process.
  When one is killed, Triton neither starts it again nor says that it isn't ready; every request that comes to its
  instance fails after a second, and loading the model once more does nothing. `python -m scripts.serve` sees it in a
  few seconds, kills tritonserver and ends with status 1. Told to end in order, tritonserver would wait its whole exit
  timeout for what the dead process had to do; a reload would leave callers without the model too, and may need a key.
  In NVIDIA's image `serve` is tritonserver's parent and does the same.
- **A server that is told to end** finishes what it has, and then for up to a second answers new requests that it has no
  models, before it closes its connections. With several endpoints the SDK sends a request again up to twice `retries`
  times, which outlasts that second.
- **Overload isn't retried**: `ServerOverloaded` is for the caller to decide.
- **Shared memory of a killed client** stays in /dev/shm and on the server until the next client that shares memory
  comes, which removes both. What requests are still computed from goes with the client after that.
- **A clock that jumps**: calls go on. When the clock was set forward by a day and then back, with libfaketime, calls
  went on too, but unloading a model hung; whether a real clock would do that wasn't tried. Restart such a server.
- **A full disk** costs `populate` nothing but its run; what was published before stays.
"""


def header() -> dict[str, str]:
    """What this was seen on, with, and when."""
    return setting(_PACKAGES)


#: A fault's trials, or why it can't be provoked on this machine.
Part = Sequence[Trial] | str


def write(found: Mapping[str, Part], folder: Path) -> None:
    """Put the page and its data into a folder."""
    head = header()
    faults = {name: part if isinstance(part, str) else [asdict(each) for each in part] for name, part in found.items()}
    write_whole(folder / "reliability.json", json.dumps({"header": head, "faults": faults}, indent=1) + "\n")
    write_whole(folder / "reliability.md", markdown(head, found))


def read(path: Path) -> tuple[dict[str, str], dict[str, Part]]:
    """What `write` has put there as data."""
    data = json.loads(path.read_text(encoding="utf-8"))
    faults = data["faults"].items()
    return data["header"], {name: part if isinstance(part, str) else list(map(_trial, part)) for name, part in faults}


def kept(folder: Path) -> dict[str, Part]:
    """The faults that are there already, of the same machine and versions; a page of others begins anew."""
    path = folder / "reliability.json"
    if not path.is_file():
        return {}
    before, found = read(path)
    return found if is_same(before, header()) else {}


def _trial(data: dict[str, Any]) -> Trial:
    promises = tuple(Promise(**promise) for promise in data["promises"])
    return Trial(**data | {"expected": tuple(data["expected"]), "promises": promises})


def markdown(head: Mapping[str, str], found: Mapping[str, Part]) -> str:
    """The page."""
    trials = [trial for part in found.values() if not isinstance(part, str) for trial in part]
    survived = sum(trial.survived for trial in trials)
    return "\n".join(
        [
            _INTRODUCTION.format(**head),
            f"**{survived} of {len(trials)} faults were survived as promised.**\n",
            _table(trials),
            *(f"- *not tried on this machine*: {name}: {why}\n" for name, why in found.items() if isinstance(why, str)),
            _LEFT_TO_YOU,
            "## Fault by fault\n",
            *map(_section, trials),
        ]
    )


_COLUMNS = ("fault", "calls", "answered", "refused", "failed", "lost", "back after, ms", "")


def _table(trials: Sequence[Trial]) -> str:
    lines = [_COLUMNS, ("---", *["---:"] * (len(_COLUMNS) - 2), "---"), *map(cells, trials)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def cells(trial: Trial) -> tuple[str, ...]:
    """A trial's row."""
    return (
        trial.name,
        f"{trial.calls:,}",
        f"{trial.answered:,}",
        _counts(trial.refused),
        _counts(trial.failed),
        str(trial.lost),
        "" if trial.recovery_ms is None else figure(trial.recovery_ms),
        "survived" if trial.survived else "**not survived**",
    )


def _counts(ended: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {how}" for how, count in sorted(ended.items())) or "0"


def _section(trial: Trial) -> str:
    lines = [f"**{trial.name}**: {trial.done}.\n"]
    lines += [
        f"- {promise.what}: {promise.seen}{'' if promise.kept else ' (**not kept**)'}" for promise in trial.promises
    ]
    return "\n".join(lines) + "\n"


def said(trial: Trial) -> Iterator[str]:
    """What is printed as soon as it is known."""
    name, calls, answered, refused, failed, lost, back, verdict = cells(trial)
    yield f"{name}: {verdict.replace('*', '')}"
    back = f", back after {back} ms" if back else ""
    yield f"  {calls} calls, {answered} answered, refused: {refused}, failed: {failed}, lost: {lost}{back}"
    yield from (f"  {promise.what}: {promise.seen}{'' if promise.kept else '  NOT KEPT'}" for promise in trial.promises)
