"""Models to measure with: put into a repository once, for all parts of a run."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from google.protobuf import text_format

from scripts.files import write_whole
from scripts.model_config import read_config
from scripts.pipeline import populate
from tritonclas import zoo


def repository(*names: str) -> Path:
    """A repository in which these models are, those with a sample with its weights, all others with random ones."""
    folder = Path(_folder().name)
    for name in names:
        model = zoo.find(name)
        populate(model, "sample" if model.sample else "synthetic", folder)
    return folder


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """It is removed when the program ends."""
    return tempfile.TemporaryDirectory(prefix="tritonclas-bench-")


@contextmanager
def with_instances(name: str, count: int) -> Iterator[Path]:
    """A repository with this model alone, whose network has so many instances."""
    model = zoo.find(name)
    source = repository(name)
    with tempfile.TemporaryDirectory(prefix="tritonclas-bench-") as folder:
        for part in (model.name, model.network_name, model.preprocess_name):
            shutil.copytree(source / part, Path(folder, part), copy_function=os.link)
        path = Path(folder, model.network_name, "config.pbtxt")
        config = read_config(path)
        for group in config.instance_group:
            group.count = count
        write_whole(path, text_format.MessageToString(config))  # another file in the link's place
        yield Path(folder)
