"""The wall clock jumps, of the server or of a client, by days."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from chaos.load import MODEL, Asking, Load
from chaos.not_here import NotHere
from chaos.trial import Promise, Trial
from scripts.embedded import EmbeddedServer
from tritonclas import Classifier, ModelServer

_LIBRARIES = (
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
    "/usr/local/lib/faketime/libfaketimeMT.so.1",
)
#: As libfaketime wants them: back by two days, and then forward by two.
_JUMPS = ("-2d", "+0")
#: libfaketime reads its file again after so many seconds, and one more at most, since it counts whole ones.
_READ_AGAIN_S = 1.0
_NOTICED_S = _READ_AGAIN_S + 1
_TIMEOUT_S, _LATE_MS = 1.0, 300.0

#: Calls to a server that has stopped, whose deadlines must hold while the clock jumps; prints what each took.
_CLIENT = """
import sys, time
from pathlib import Path
from tritonclas import Classifier, DeadlineExceeded
url, model, timeout_s, offset, *jumps = sys.argv[1:]
with Classifier(url, model) as classifier:
    classifier.classify("examples/cat.jpg")
    print("connected", flush=True)
    sys.stdin.readline()
    for jump in jumps:
        Path(offset).write_text(jump + chr(10))
        begin_s, wall_s = time.monotonic(), time.time()
        while abs(time.time() - wall_s - (time.monotonic() - begin_s)) < 3600 and time.monotonic() < begin_s + 10:
            began_s = time.monotonic()
            try:
                classifier.classify("examples/cat.jpg", timeout_s=float(timeout_s))
            except DeadlineExceeded:
                print(time.monotonic() - began_s, flush=True)
"""
#: Month and day in a line of Triton's log.
_DATED = re.compile(r"I\d{4} ")
_ROOT = Path(__file__).resolve().parents[1]


def clock(repository: Path, *, short: bool = False) -> Iterator[Trial]:
    """Calls go on while the server's clock jumps, and deadlines hold while the client's does."""
    phase_s = 0.3 if short else 4.0
    library = _library()
    with tempfile.TemporaryDirectory(prefix="tritonclas-chaos-") as folder:
        offset = Path(folder, "offset")
        offset.write_text("+0\n")
        environment = {
            "LD_PRELOAD": library,
            "FAKETIME_TIMESTAMP_FILE": str(offset),
            "FAKETIME_CACHE_DURATION": f"{_READ_AGAIN_S:g}",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",  # nothing makes that clock jump
        }
        lines: list[str] = []
        with (
            EmbeddedServer([MODEL], repository, environment=environment, log=lines.append) as server,
            Classifier(server.url, MODEL, timeout_s=10) as classifier,
        ):
            with Load(Asking(classifier), workers=2) as load:
                for jump in _JUMPS:
                    load.wait_for_answers(2)
                    offset.write_text(f"{jump}\n")
                    time.sleep(_NOTICED_S + phase_s)
                    _log_something(server.url)
                load.wait_for_answers(2)
            took_ms = _in_client(server, environment, offset)
    jumped = len({line[:5] for line in lines if _DATED.match(line)}) > 1
    slowest_ms = max(load.times_ms(), default=float("inf"))
    yield Trial(
        "the wall clock jumps by two days, back and forth",
        f"of the server under load (2 callers), then of both, the server stopped and a client asking with "
        f"`timeout_s={_TIMEOUT_S:g}`; by libfaketime",
        dict(load.ended) | {"DeadlineExceeded": len(took_ms)},
        expected=("DeadlineExceeded",),
        lost=load.lost,
        recovery_ms=None,
        promises=(
            Promise("the server's log has both dates", "yes" if jumped else "no", jumped),
            Promise.at_most("the slowest call while the server's clock jumps", slowest_ms, 2000),
            Promise.at_most(
                "the longest call of the client, its deadline and a little", max(took_ms), 1000 * _TIMEOUT_S + _LATE_MS
            ),
            Promise.at_most(
                "how much before its deadline a call of the client ended", 1000 * _TIMEOUT_S - min(took_ms), 50
            ),
        ),
    )


def _log_something(url: str) -> None:
    """Requests are in the log only where it is verbose."""
    with ModelServer(url) as control:
        control.log_settings({"log_verbose_level": 1})
        control.ready(MODEL)
        control.log_settings({"log_verbose_level": 0})


def _in_client(server: EmbeddedServer, environment: dict[str, str], offset: Path) -> list[float]:
    """Milliseconds by the monotonic clock that each call took to a server that is stopped meanwhile."""
    arguments = (server.url, MODEL, str(_TIMEOUT_S), str(offset), *_JUMPS)
    with subprocess.Popen(
        [sys.executable, "-c", _CLIENT, *arguments],
        cwd=_ROOT,
        env=os.environ | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as client:
        assert client.stdout
        client.stdout.readline()
        server.process.send_signal(signal.SIGSTOP)
        try:
            said, _ = client.communicate("begin\n", timeout=60)
        finally:
            server.process.send_signal(signal.SIGCONT)
            client.kill()
    return [1000 * float(line) for line in said.splitlines()]


def _library() -> str:
    """Where libfaketime is."""
    for path in _LIBRARIES:
        if Path(path).is_file():
            return path
    raise NotHere("libfaketime isn't there (Debian and Ubuntu: apt-get install libfaketime)")
