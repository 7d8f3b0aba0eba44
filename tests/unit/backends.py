"""The backends' modules, which lie in folders that aren't packages."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

BACKENDS = Path(__file__).resolve().parents[2] / "backends"


def load(backend: str, module: str) -> ModuleType:
    """backends/<backend>/<module>.py, loaded anew."""
    spec = importlib.util.spec_from_file_location(module, BACKENDS / backend / f"{module}.py")
    assert spec
    assert spec.loader
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded
