"""The GPUs of this machine, as nvidia-smi lists them."""

from __future__ import annotations

import csv
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from scripts.errors import ScriptError

IMAGE = "nvcr.io/nvidia/tritonserver:24.09-py3"

#: No compute_cap: the drivers of branch 470, which the image still runs on, don't know it.
_QUERY = ("nvidia-smi", "--query-gpu=index,uuid,name", "--format=csv,noheader")
_TIMEOUT_S = 60  # without persistence mode the driver is loaded first


@dataclass(frozen=True)
class Gpu:
    """A GPU; `name` is its model's full name, with memory and form (Tesla V100-SXM2-16GB): what a plan is bound to."""

    index: str
    uuid: str
    name: str

    def is_a(self, kind: str) -> bool:
        """Whether it is a T4, or a V100 of whatever form."""
        return re.search(rf"\b{kind}S?\b", self.name) is not None


def visible_gpus() -> list[Gpu]:
    """The GPUs that a program started here may use, in nvidia-smi's order; ScriptError if there is none."""
    visible = chosen(_all_gpus(), os.environ.get("CUDA_VISIBLE_DEVICES"))
    if not visible:
        raise ScriptError("CUDA_VISIBLE_DEVICES hides every GPU of this machine; unset it, or name one")
    return visible


def chosen(gpus: Sequence[Gpu], setting: str | None) -> list[Gpu]:
    """Those that CUDA_VISIBLE_DEVICES leaves: all without it, otherwise those named up to the first unknown one.

    Numbers are taken for nvidia-smi's. CUDA's own can differ where GPUs do, so name those by their UUID.
    """
    if setting is None:
        return list(gpus)
    found = []
    for word in map(str.strip, setting.split(",")):
        match = [gpu for gpu in gpus if word and (gpu.index == word or gpu.uuid.startswith(word))]
        if not match:
            break
        found += match[:1]
    return found


def _all_gpus() -> list[Gpu]:
    try:
        listed = subprocess.run(_QUERY, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True).stdout
        return [Gpu(*row) for row in csv.reader(listed.splitlines(), skipinitialspace=True)]
    except (OSError, subprocess.SubprocessError, TypeError) as error:
        raise ScriptError(
            f"nvidia-smi lists no GPU here ({_reason(error)}); run this in {IMAGE} with docker run --gpus all"
        ) from error


def _reason(error: Exception) -> str:
    """The error's first line, of what nvidia-smi printed if it did."""
    printed = f"{error.stdout}{error.stderr}" if isinstance(error, subprocess.CalledProcessError) else ""
    return (printed.strip() or str(error)).splitlines()[0]
