"""What was measured, as a page and as data."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.comparison import Comparison
from bench.limits import Part, limit
from bench.setting import is_same, setting
from bench.table import Table
from scripts.files import write_whole

_PACKAGES = (
    "tritonclas",
    "tritonclient",
    "grpcio",
    "numpy",
    "opencv-python-headless",
    "simplejpeg",
    "pillow",
    "onnxruntime",
    "nvidia-pytriton",
    "fastapi",
    "uvicorn",
    "litserve",
)

_INTRODUCTION = """\
# Benchmarks

Ratios, measured side by side in one run: absolute times depend on the machine and on its mood, ratios less so. Ours and
theirs take turns, who begins changes each round; a ratio is the median of the rounds' ratios, with the lowest and the
highest in brackets. Times are of one piece of work, as the row names it. `make bench` made this page, and
`benchmarks.json` beside it, which has every round.

- machine: {machine}
- versions: {versions}
- date: {date}
"""

_HEADINGS = {
    "throughput": """\
## The embedded server beside one Python process

Encoded JPEGs to probabilities, through Triton's HTTP endpoint and in one Python process without any server, on the same
cores with the same decoding and the same network. Both answer the same, which is checked first. The one process is as
fast as could be had: of several ways to use the cores the best is chosen in a trial, and named in the row. It may have
*our graph*, what the CPU backend makes of ONNX Runtime's (`backends/onnxruntime/squeeze_excite.py`); the best with ONNX
Runtime's own, which is what one has by hand, is beside it. Triton is asked by a process that sends one request, made
beforehand, over raw sockets, and reads each answer to its end; what that takes of the cores is in Triton's times. Times
are of one image, with all clients busy.
""",
    "floor": """\
## What a server must spend

How much is left to gain with the smallest network. Where an aim lies beyond its bound, no backends
behind Triton's HTTP endpoint, with queues that have a limit, can meet it on this machine.
""",
    "network": """\
## The network alone

The same, of pixels that are there already: what the server adds to ONNX Runtime.
""",
    "latency": """\
## One at a time

The same with a single client, and in the process that is fastest for one picture: medians of the requests' times.
""",
    "alternatives": """\
## Other servers

The same job with equal care on the same cores: the project's own decoding, the published network in ONNX Runtime, a
session of one thread for each core; bytes in, probabilities out, no text on the way. FastAPI has a pool of threads
behind uvicorn, LitServe a worker process for each core, PyTriton a function for each core. All are asked by the same
generator, and answer the same, which is checked first. The embedded server has its rewritten graph, which is a part of
what one gains by it; the last rows show the others with that graph, too. Under each of the first three servers is what
the rewritten graph does in one process without any server, in the same rounds: that times the bound of "What a server
must spend" is the bound of the aim above it.
""",
    "isolated": """\
## Inside tritonserver

Both ours: the backends inside tritonserver, as `scripts.serve` runs them, and in processes of their own.
""",
    "camera": """\
## Photographs out of a camera

Beside the pipeline that is written first: Pillow decodes and resizes, numpy normalises, ONNX Runtime runs
paddle2onnx's file with its default options, in as many threads as there are clients. Pillow's resizing averages
pixels, so the answers are only similar.
""",
    "neighbour": """\
## Beside another process

Both ours: on a machine where another process keeps one core busy, and on one that is free.
""",
    "exports": """\
## The ONNX file

In ONNX Runtime, one thread, one picture: the file as the project publishes it, which takes pixels, beside the one that
paddle2onnx writes, which takes what a caller must have normalised and transposed before. That isn't counted, which is
to paddle2onnx's advantage. Both answer the same, which is checked first. What the last table has "in both" is the
network's, whoever writes the file. Where a network has squeeze-and-excitation, the CPU backend rewrites the graph that
ONNX Runtime makes of the file (docs/model_repository.md, "The embedded server's backends"): the row after has that.
""",
    "sdk": """\
## The SDK beside plain tritonclient

The same work by hand with tritonclient, on the same embedded server, with JPEGs of 500x375 pixels and 43 kB. The model
does nothing, so that all that is measured is the way there and back; its answers are the same, which is checked first.
Ours also checks the picture's header, keeps one deadline for all attempts, and gives typed results.

`classify_many` is compared with what a load generator does, which sends one request, made beforehand, again and again
and doesn't look at the answers: on EfficientNetB0 that makes no difference, on a model that does nothing it is what
making requests and reading answers costs.
""",
    "memory": """\
## Shared memory beside the connection

Both ours, on a model that does nothing, with `preprocess="client"`: the crops are arrays of the right size already. One
of 224x224 pixels has 150 kB as uint8, and would have 602 kB as float32, as one of 448x448 has as uint8.
""",
    "scaled": """\
## Camera pictures decoded smaller

Both ours, on one core: with `scaled_decoding` (docs/model_repository.md), and exactly.
""",
    "bfloat16": """\
## The profile cpu-bf16

OpenVINO in bfloat16 beside the default, ONNX Runtime in float32, for those who ask for it.
""",
    "preprocessing": """\
## Preprocessing

One core, equal pixels to the last bit (which is checked first). PaddleClas decodes to BGR, turns that into RGB, and
normalises to float32 on the CPU; ours decodes with libjpeg-turbo straight into RGB, and the network normalises.
""",
    "clients": """\
## More clients

From here on there is no other side: these are one machine's figures, not ratios.

Encoded JPEGs, the embedded server, so many connections that each ask again as soon as they are answered. They share
the server's cores, so the load is made as cheaply as can be: requests made once, plain sockets, HTTP
(`bench/wire.py`).
""",
    "work": """\
## More work

What an image costs, by what it is and by which network classifies it: random weights, but for EfficientNetLite0. The
time of one client, and what the server does when it is busy.
""",
    "overload": """\
## More than it can do

Requests that come whether or not those before are answered, as from callers who don't know of each other. A server
that can't refuse would let them wait longer and longer; Triton refuses what finds a full queue (gRPC's UNAVAILABLE,
`ServerOverloaded` in the SDK), so that those it takes wait no longer than the queue is long.
""",
    "server_memory": """\
## Memory of the server

With one model in a repository of its own, right after it has come up: each instance has computed one picture then.
All instances share the network's weights, which are mapped from a file.
""",
    "startup": """\
## Until it can be used

Files are in the machine's cache, as after a first start.
""",
}


def header() -> dict[str, str]:
    """What this is measured on, with, and when."""
    return setting(_PACKAGES)


def write(found: Mapping[str, Part], folder: Path) -> None:
    """Put the page and its data into a folder."""
    head = header()
    data = {"header": head, "comparisons": {name: [asdict(each) for each in part] for name, part in found.items()}}
    write_whole(folder / "benchmarks.json", json.dumps(data, indent=1) + "\n")
    write_whole(folder / "benchmarks.md", markdown(head, found))


def read(path: Path) -> tuple[dict[str, str], dict[str, list[Comparison | Table]]]:
    """What `write` has put there as data."""
    data = json.loads(path.read_text(encoding="utf-8"))
    parts = data["comparisons"].items()
    return data["header"], {name: [_read(each) for each in part] for name, part in parts}


def kept(folder: Path) -> dict[str, list[Comparison | Table]]:
    """The parts that are there already, of the same machine and versions; a page of others begins anew."""
    path = folder / "benchmarks.json"
    if not path.is_file():
        return {}
    before, parts = read(path)
    return parts if is_same(before, header()) else {}


def _read(each: dict[str, Any]) -> Comparison | Table:
    if "columns" not in each:
        return Comparison(**each)
    return Table(each["name"], tuple(each["columns"]), tuple(map(tuple, each["rows"])), each["note"])


def markdown(head: Mapping[str, str], found: Mapping[str, Part]) -> str:
    """The page."""
    parts = [_INTRODUCTION.format(**head), *_aims(found)]
    parts += [f"{_HEADINGS[name]}\n{_figures(part)}" for name, part in found.items()]
    return "\n".join(parts)


def _aims(found: Mapping[str, Part]) -> Iterator[str]:
    """How many of the aims are met, and which aren't, with their bounds on this machine."""
    aims = [
        (name, each) for name, part in found.items() for each in part if isinstance(each, Comparison) and each.bound
    ]
    if not aims:
        return
    missed = [_missed(name, each, found) for name, each in aims if not each.met]
    yield f"{len(aims) - len(missed)} of {len(aims)} aims are met{', not these:' if missed else '.'}\n"
    if missed:
        yield "\n".join(f"- {each}" for each in missed) + "\n"


def _missed(part: str, each: Comparison, found: Mapping[str, Part]) -> str:
    best = limit(part, each, found)
    return f"{each.name} ({each.other}): {each.ratio:.2f}, {_aim(each)}{best.beside(each) if best else ''}"


def _figures(part: Part) -> str:
    """The comparisons in one table, and each table after them."""
    comparisons = [each for each in part if isinstance(each, Comparison)]
    drawn = [_table(comparisons)] if comparisons else []
    return "\n".join([*drawn, *(each.markdown() for each in part if isinstance(each, Table))])


def said(each: Comparison | Table) -> str:
    """What is printed as soon as it is measured."""
    if isinstance(each, Table):
        return "\n".join(each.lines())
    return " · ".join(cells(each)).replace("*", "")


def _table(comparisons: Iterable[Comparison]) -> str:
    lines = ["| what | beside | ours, ms | theirs, ms | ratio | aim | |", "|---|---|---|---|---|---|---|"]
    lines += ["| " + " | ".join(cells(each)) + " |" for each in comparisons]
    return "\n".join(lines) + "\n"


def cells(comparison: Comparison) -> tuple[str, ...]:
    """A comparison's row."""
    ratios = comparison.ratios
    return (
        comparison.name,
        comparison.other,
        _milliseconds(comparison.ours_s),
        _milliseconds(comparison.theirs_s),
        f"{comparison.ratio:.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
        _aim(comparison) if comparison.bound else "",
        ("met" if comparison.met else "**missed**") if comparison.bound else "",
    )


def _aim(comparison: Comparison) -> str:
    what, sign = ("time", "≤") if comparison.at == "most" else ("speed", "≥")
    return f"{what}, ours / theirs {sign} {comparison.bound:g}"


def _milliseconds(seconds: Sequence[float]) -> str:
    median_ms = 1000 * statistics.median(seconds)
    return f"{median_ms:,.0f}" if median_ms >= 100 else f"{median_ms:.3g}"
