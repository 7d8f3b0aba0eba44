"""A client that shares memory with the server is killed with requests under way."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from chaos.load import MODEL, Asking, Load
from chaos.trial import Promise, Trial
from scripts.embedded import EmbeddedServer
from tritonclas import Classifier
from tritonclas._shared_memory import FOLDER, PREFIX

#: Triton keeps a region that is in use: by requests of the client that was killed, for as long as they are computed.
_FEW = 5

_CLIENT = """
import sys
from chaos.load import MODEL, Asking, Load
from tritonclas import Classifier
with Classifier(sys.argv[1], MODEL, shared_memory=True) as classifier, Load(Asking(classifier), workers=4) as load:
    load.wait_for_answers(8)
    print("busy", flush=True)
    sys.stdin.read()
"""


def clients(repository: Path, *, short: bool = False) -> Iterator[Trial]:
    """Kill clients that are busy, one after the other, while another goes on; what is left, and who removes it?"""
    count = 1 if short else 5
    with (
        EmbeddedServer([MODEL], repository) as server,
        Classifier(server.url, MODEL) as other,
        Load(Asking(other), workers=2) as load,
    ):
        load.wait_for_answers(1)
        left = {name for _ in range(count) for name in _killed(server.url)}
        known = _registered(server.url)
        began_s = time.monotonic()
        _ask_once(server.url)
        next_ms, here, more = 1000 * (time.monotonic() - began_s), left & _here(), 0
        while left & _registered(server.url) and more < _FEW:
            _ask_once(server.url)
            more += 1
        load.wait_for_answers(2)
    yield Trial(
        "clients killed that share memory with the server",
        f"kill -9, {count} with 4 requests under way each, while another client goes on over its connection",
        load.ended,
        expected=(),
        lost=load.lost,
        recovery_ms=next_ms,
        promises=(
            Promise(
                "each leaves a region in /dev/shm, and on the server",
                f"{len(left)} left",
                _all_left(left, known, count),
            ),
            Promise.none("regions in /dev/shm after the next client's first request", len(here)),
            Promise(f"on the server they are gone after at most {_FEW} clients more", str(more), more < _FEW),
            Promise.at_most("the next client's first answers", next_ms, 5000),
        ),
    )


def _ask_once(url: str) -> None:
    with Classifier(url, MODEL, shared_memory=True) as classifier:
        Asking(classifier)()


def _all_left(left: set[str], known: set[str], count: int) -> bool:
    """The last one's at least: each client takes away what those before it left."""
    return len(left) == count and bool(left & known)


def _killed(url: str) -> set[str]:
    """The regions that a client has when it is killed."""
    with subprocess.Popen(
        [sys.executable, "-c", _CLIENT, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as client:
        assert client.stdout
        client.stdout.readline()
        client.kill()
    return {path.name for path in FOLDER.glob(f"{PREFIX}{client.pid}-*")}


def _here() -> set[str]:
    return {path.name for path in FOLDER.glob(f"{PREFIX}*")}


def _registered(url: str) -> set[str]:
    """The regions that the server has mapped."""
    with grpc.insecure_channel(url) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        return set(stub.SystemSharedMemoryStatus(service_pb2.SystemSharedMemoryStatusRequest(), timeout=10).regions)
