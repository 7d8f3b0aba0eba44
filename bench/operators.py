"""Where a network's time goes, by operator, as ONNX Runtime's profile has it: what two files of it have in common."""

from __future__ import annotations

import json
import statistics
import tempfile
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnxruntime as ort

from bench.table import Table, figure

#: At most so many runs, and about so many seconds.
_RUNS, _SECONDS = 100, 4.0
_ERROR = 3
_KERNEL = "_kernel_time"

_COLUMNS = (
    "network",
    "paddle2onnx's, ms",
    "ours, ms",
    "ours / theirs",
    "in both, ms",
    "in both / theirs",
    "only in paddle2onnx's, ms",
    "only in ours, ms",
)
#: The column of a row with the least that a file could take of the other's time.
IN_BOTH = _COLUMNS.index("in both / theirs")
_NOTE = """\
By operator of the graph that ONNX Runtime makes of a file: the medians of each node's time, added up; both files in
turns, on one core. In both: the operators that both have, each with the lesser of its two times. To take less than
that, a file would have to compute the network by other operators."""

#: Milliseconds by operator.
Profile = Mapping[str, float]


def profiles(batches: Mapping[Path, Any], run_s: float) -> list[Profile]:
    """What each operator takes of a run of each network with its batch, in turns; a run takes about `run_s`."""
    with tempfile.TemporaryDirectory(prefix="tritonclas-bench-") as folder:
        sessions = [_session(network, Path(folder, str(number))) for number, network in enumerate(batches)]
        for _ in range(max(5, min(_RUNS, round(_SECONDS / run_s)))):
            for session, batch in zip(sessions, batches.values(), strict=True):
                session.run(None, {session.get_inputs()[0].name: batch})
        return [_profile(Path(session.end_profiling())) for session in sessions]


def _session(network: Path, prefix: Path) -> Any:
    options = ort.SessionOptions()
    options.log_severity_level = _ERROR
    options.intra_op_num_threads = 1
    options.enable_profiling = True
    options.profile_file_prefix = str(prefix)
    return ort.InferenceSession(str(network), options, providers=["CPUExecutionProvider"])


def _profile(events: Path) -> Profile:
    nodes = defaultdict(list)
    for event in json.loads(events.read_text(encoding="utf-8")):
        if event["name"].endswith(_KERNEL):
            nodes[event["name"], event["args"]["op_name"]].append(event["dur"] / 1000)
    taken: Counter[str] = Counter()
    for (_, operator), times_ms in nodes.items():
        taken[operator] += statistics.median(times_ms)
    return taken


def in_common(of: Mapping[str, tuple[Profile, Profile]]) -> Table:
    """A row for each network, of our file's profile and paddle2onnx's."""
    return Table("Operators", _COLUMNS, tuple(_row(name, *both) for name, both in of.items()), _NOTE)


def _row(name: str, ours: Profile, theirs: Profile) -> tuple[str, ...]:
    our_ms, their_ms = sum(ours.values()), sum(theirs.values())
    both_ms = sum(min(taken, theirs[operator]) for operator, taken in ours.items() if operator in theirs)
    return (
        name,
        figure(their_ms),
        figure(our_ms),
        f"{our_ms / their_ms:.2f}",
        figure(both_ms),
        f"{both_ms / their_ms:.2f}",
        _only(theirs, ours),
        _only(ours, theirs),
    )


def _only(here: Profile, there: Profile) -> str:
    return ", ".join(f"{operator} {figure(taken)}" for operator, taken in here.items() if operator not in there)
