"""Paddle, asked the same question only once: its processes take seconds to start."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

from scripts.children import run_child


def remembering(known: Path) -> Callable[..., None]:
    """scripts.children.run_child, which keeps in a folder what it was answered."""

    def run(work: str, *paths: Path, scratch: Path) -> None:
        *asked, answer = paths
        digest = hashlib.sha256(work.encode())
        for path in asked:
            digest.update(path.suffix.encode() + path.read_bytes())
        kept = known / digest.hexdigest()
        if not kept.exists():
            run_child(work, *paths, scratch=scratch)
            shutil.copyfile(answer, kept)
        shutil.copyfile(kept, answer)

    return run
