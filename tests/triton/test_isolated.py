"""Backends in processes of their own, as Triton's Python backend runs them, beside those inside tritonserver."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest

from scripts import in_process
from scripts.embedded import EmbeddedServer
from scripts.photographs import EXAMPLES
from tests.triton.conftest import REAL
from tests.triton.test_classify import wait_for
from tritonclas import Classifier, ImageRejected, ModelServer

PICTURES = sorted(EXAMPLES.glob("*.jpg"))


@pytest.fixture(scope="module")
def isolated(repository: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer([REAL], repository, isolated=True) as running:
        yield running


def test_only_isolated_backends_have_processes_of_their_own(isolated: EmbeddedServer, server: EmbeddedServer) -> None:
    assert len(psutil.Process(isolated.process.pid).children(recursive=True)) >= 4
    assert not psutil.Process(server.process.pid).children(recursive=True)


def test_both_give_the_same_answers(isolated: EmbeddedServer, server: EmbeddedServer) -> None:
    answers = []
    for each in (isolated, server):
        with Classifier(each.url, REAL) as classifier:
            answers.append((classifier.probabilities(PICTURES), classifier.probabilities(PICTURES[:1])))
            with pytest.raises(ImageRejected, match="not a picture"):
                classifier.classify(b"broken")
    for own, inside in zip(*answers, strict=True):
        np.testing.assert_allclose(own, inside, atol=1e-6)


def test_requests_that_wait_are_batched_for_a_process(isolated: EmbeddedServer) -> None:
    assert _executions(isolated, requests=64) < 64


def test_inside_tritonserver_each_is_computed_by_itself(server: EmbeddedServer) -> None:
    assert _executions(server, requests=64) == 64


def test_without_a_host_the_server_says_so_and_uses_processes(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_host() -> Path:
        raise in_process.NoHost("there is no C compiler")

    monkeypatch.setattr(in_process, "host", no_host)
    lines: list[str] = []
    with EmbeddedServer([REAL], repository, log=lines.append) as running, Classifier(running.url, REAL) as classifier:
        assert classifier.classify(PICTURES[0]).top.score > 0.1
        assert psutil.Process(running.process.pid).children(recursive=True)
    assert "the backends run in processes of their own, which is slower: there is no C compiler" in lines


def _executions(running: EmbeddedServer, requests: int) -> int:
    def counts() -> tuple[int, int]:
        with ModelServer(running.url) as control:
            (statistics,) = control.statistics(f"{REAL}_net")
        return statistics.inferences, statistics.executions

    inferences, executions = counts()
    with Classifier(running.url, REAL) as classifier, ThreadPoolExecutor(16) as pool:
        list(pool.map(classifier.classify, [PICTURES[0]] * requests))
    wait_for(lambda: counts()[0] >= inferences + requests)  # Triton counts a request a moment after it has answered it
    assert counts()[0] == inferences + requests
    return counts()[1] - executions
