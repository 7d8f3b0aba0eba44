"""The disk is full while a model is being published."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from chaos.load import ANSWERED, MODEL
from chaos.not_here import NotHere
from chaos.trial import Promise, Trial

_ROOT = Path(__file__).resolve().parents[1]
REFUSED = "refused in a line"
#: Bytes that are free: little enough to fail at each of the steps, the last ones to find the edge.
_SIZES = (100_000, 10_000_000, 20_000_000, 40_000_000, 50_000_000, 55_000_000, 56_000_000)
_SIZE_BESIDE = 20_000_000


def disk(repository: Path, *, short: bool = False) -> Iterator[Trial]:
    """On file systems of several sizes; in the long form also where the model is there already, and with room made."""
    del repository  # it makes its own
    namespace = _namespace()
    done = [_populated(namespace, size) for size in (_SIZES[2:3] if short else _SIZES)]
    if not short:
        done.append(_populated(namespace, _SIZE_BESIDE, "--before", "--again"))
    refused = [each for each in done if each["status"]]
    half = [each for each in refused if not each["unchanged"]]
    unclear = [each["said"] for each in refused if not _is_clear(each["said"])]
    repaired = [each["repaired"] for each in done if each["repaired"] is not None]
    yield Trial(
        "the disk full while a model is published",
        f"`scripts.populate {MODEL}` on {len(done)} file systems of {_SIZES[0] / 1e6:g} MB and more"
        + ("" if short else f"; once with {_SIZE_BESIDE / 1e6:g} MB free beside the model, then with room and again"),
        dict(Counter(REFUSED if each["status"] else ANSWERED for each in done)),
        expected=(REFUSED,),
        lost=0,
        recovery_ms=None,
        promises=(
            Promise("it fails at least once", f"{len(refused)} times", bool(refused)),
            Promise.none("runs that leave anything behind, or change what was there", len(half)),
            Promise("each says in a line that there is no space left", "; ".join(unclear) or "all", not unclear),
            Promise("with room, the same command publishes", str(repaired or "not tried"), not any(repaired)),
        ),
    )


def _is_clear(said: str) -> bool:
    return len(said.strip().splitlines()) == 1 and "No space left on device); make room there" in said


def _namespace() -> Sequence[str]:
    """A command before others, which gives them mounts of their own; NotHere if that isn't allowed."""
    options = ("--mount",) if os.geteuid() == 0 else ("--user", "--map-root-user", "--mount")
    command = ("unshare", *options)
    try:
        subprocess.run([*command, "true"], check=True, capture_output=True, timeout=10)
    except (OSError, subprocess.SubprocessError) as error:
        raise NotHere(f"a small file system needs a mount namespace (root, or user namespaces): {error}") from error
    return command


def _populated(namespace: Sequence[str], size: int, *options: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="tritonclas-chaos-") as folder:
        command = [*namespace, sys.executable, "-m", "chaos.small_disk", folder, str(size), MODEL, *options]
        done = subprocess.run(command, cwd=_ROOT, check=True, capture_output=True, text=True, timeout=300)
    told: dict[str, Any] = json.loads(done.stdout)
    return told
