"""The memory that a server takes for a model, and for an instance of it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench import prepared
from bench.models import repository, with_instances
from bench.pacing import Duration
from bench.pictures import photograph
from bench.table import Table, figure
from scripts.embedded import EmbeddedServer
from scripts.onnx_file import size_on_disk
from scripts.versions import onnx_path
from scripts.zoo.memory import proportional
from tritonclas import zoo

MODELS = ("EfficientNetB0", "EfficientNetB4", "ResNeXt101_32x8d_wsl")
BATCH = 8
LOADED = Duration(1.0, 2.0)

_COLUMNS = (
    "model",
    "file, MB",
    "1 instance, MB",
    "2 instances, MB",
    "the model",
    "the 2nd instance",
    "of the file",
    f"2 instances after batches of {BATCH}, MB",
)
_NOTE = """\
The server and all processes that it has started, what they share counted once (Linux's PSS). The server with only the
preprocessing of {first} takes {bare} MB: the model is what one instance takes besides. *Of the file* is what the second
instance takes as a share of the file: next to nothing where instances share their weights. A model that has computed
batches keeps the memory that they need."""


def by_instances() -> Iterator[Table]:
    """The memory of a server with one model, which has one instance or two."""
    first = zoo.find(MODELS[0])
    bare = _memory([first.preprocess_name], repository(first.name))
    rows = tuple(_row(name, bare) for name in MODELS)
    yield Table("Memory of a server", _COLUMNS, rows, _NOTE.format(first=first.name, bare=_mb(bare)))


def _row(name: str, bare: int) -> tuple[str, ...]:
    file = size_on_disk(onnx_path(name, repository(name)))
    with with_instances(name, 1) as folder:
        one = _memory([name], folder)
    with with_instances(name, 2) as folder, EmbeddedServer([name], folder) as server:
        two = proportional(server.process.pid)
        batch = prepared.pictures(server.ports.http, name, [photograph(500, 375)] * BATCH)
        batch.pace(2 * (os.cpu_count() or 1), LOADED)
        loaded = proportional(server.process.pid)
    return (
        name,
        _mb(file),
        _mb(one),
        _mb(two),
        _mb(one - bare),
        _mb(two - one),
        f"{(two - one) / file:.0%}",
        _mb(loaded),
    )


def _memory(models: Sequence[str], folder: Path) -> int:
    with EmbeddedServer(models, folder) as server:
        return proportional(server.process.pid)


def _mb(size: int) -> str:
    return figure(size / 1e6)
