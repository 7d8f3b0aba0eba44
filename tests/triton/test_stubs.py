"""A backend's process that has died: Triton goes on as if nothing had happened, and the command doesn't."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from scripts import stubs, supervise
from scripts.embedded import EmbeddedServer
from tests.triton.commands import read_until, started
from tests.triton.conftest import REAL
from tests.triton.test_classify import wait_for
from tests.triton.test_faults import CAT
from tests.triton.test_serve import FREE_PORTS, SERVE
from tritonclas import Classifier, ModelServer, ServerUnavailable, TritonClasError


def kill_one(server: int) -> None:
    children = psutil.Process(server).children(recursive=True)
    next(child for child in children if any(f"{REAL}_net" in word for word in child.cmdline())).kill()


def test_triton_hands_requests_to_a_dead_process_and_the_watch_sees_it(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stubs, "_SURE_S", 0.5)
    with EmbeddedServer([REAL], repository, isolated=True) as server:
        watch = stubs.Watch(server.process.pid)
        kill_one(server.process.pid)
        wait_for(watch.look)
        assert watch.dead() == 0  # not yet sure
        wait_for(watch.dead, 10)
        errors = []
        with Classifier(server.url, REAL, retries=0) as impatient, ModelServer(server.url) as control:
            for _ in range(2):  # each of the two instances has its turn
                try:
                    impatient.classify(CAT)
                except TritonClasError as error:
                    errors.append(error)
            assert control.ready(REAL)
        assert {type(error) for error in errors} == {ServerUnavailable}
        with Classifier(server.url, REAL) as patient:
            assert {patient.classify(CAT).top.name for _ in range(3)} == {"tiger cat"}
        supervise.kill(server.process)  # told to end, it would wait for the dead one


@pytest.mark.slow
def test_the_processes_of_an_unloaded_model_are_not_taken_for_dead(repository: Path) -> None:
    with EmbeddedServer([REAL], repository, isolated=True) as server, ModelServer(server.url) as control:
        watch = stubs.Watch(server.process.pid)
        for _ in range(2):
            control.unload(REAL)
            assert watch.dead() == 0
            control.load(REAL)
        wait_for(lambda: not watch.look(), 3)


@pytest.mark.slow
def test_the_command_ends_for_its_supervisor(repository: Path) -> None:
    with started(*SERVE, REAL, "--repository", repository, "--isolated", *FREE_PORTS) as process:
        read_until(process, "ready: gRPC")
        kill_one(process.pid)
        read_until(process, "Error: a backend's process has died, and Triton doesn't start it again")
        assert process.wait(10) == 1
