"""A model is unloaded while it answers, its files are removed, and it comes back."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from chaos.load import MODEL, Asking, Load
from chaos.trial import Promise, Trial
from scripts.embedded import EmbeddedServer
from tritonclas import Classifier, ModelNotFound, ModelNotReady, ModelServer, TritonClasError

_TIMEOUT_S = 10.0
_LOADED = "loaded"
_ROOT = Path(__file__).resolve().parents[1]


def unloaded(repository: Path, *, short: bool = False) -> Iterator[Trial]:
    """What callers get meanwhile, and that service returns by itself once the model is loaded."""
    pause_s = 0.4 if short else 3.0
    with tempfile.TemporaryDirectory(prefix="tritonclas-chaos-") as folder:
        models = Path(folder, "models")
        shutil.copytree(repository, models, ignore=shutil.ignore_patterns(".*"))
        with (
            EmbeddedServer([MODEL], models) as server,
            ModelServer(server.url) as control,
            Classifier(server.url, MODEL, timeout_s=_TIMEOUT_S) as classifier,
            Load(Asking(classifier), workers=4) as load,
        ):
            load.wait_for_answers(4)
            goes_on = _removed(models, load)
            control.unload(MODEL)
            time.sleep(pause_s)
            refusal = _refusal(control)
            shutil.copytree(repository, models, ignore=shutil.ignore_patterns(".*"), dirs_exist_ok=True)
            control.load(MODEL)
            loaded_s = time.monotonic()
            load.wait_for_answers(8)
        slowest_ms = 1000 * max(call.end_s - call.due_s for call in load.calls)
    refused = sum(count for how, count in load.ended.items() if how == ModelNotReady.__name__)
    recovery_ms = load.answered_ms_after(loaded_s)
    yield Trial(
        "a model removed and unloaded while it answers, then put back",
        f"`scripts.remove {MODEL}`, unload, {pause_s:g} s later the files back, load; 4 callers in a closed loop",
        load.ended,
        expected=(ModelNotReady.__name__, ModelNotFound.__name__),
        lost=load.lost,
        recovery_ms=recovery_ms,
        promises=(
            Promise("what is loaded answers on when its files are gone", "yes" if goes_on else "no", goes_on),
            Promise("callers are told", f"{refused:,} ModelNotReady", refused > 0),
            Promise("loading it without its files is refused", refusal, refusal != _LOADED),
            Promise.at_most("the slowest call, however it ended", slowest_ms, 1000 * (_TIMEOUT_S + 0.5)),
            Promise.at_most("until calls are answered, once it is loaded", recovery_ms, 3000),
        ),
    )


def _removed(models: Path, load: Load) -> bool:
    """Take the model out of the repository; whether callers are answered afterwards."""
    command = [sys.executable, "-m", "scripts.remove", MODEL, "--repository", str(models)]
    subprocess.run(command, cwd=_ROOT, check=True, capture_output=True, timeout=60)
    return load.wait_for_answers(8)


def _refusal(control: ModelServer) -> str:
    try:
        control.load(MODEL)
    except TritonClasError as error:
        return type(error).__name__
    return _LOADED
