"""Other ways of images to the real server: shared memory, and compressed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from scripts.embedded import EmbeddedServer, Ports
from tests.triton.conftest import REAL
from tritonclas import AsyncClassifier, Classifier, ImageRejected
from tritonclas._shared_memory import FOLDER, PREFIX

PLACES = pytest.mark.parametrize("preprocess", ["server", "client"])


def on_the_server(url: str) -> set[str]:
    """The regions that this server has mapped for clients of this kind."""
    with grpc.insecure_channel(url) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        status = stub.SystemSharedMemoryStatus(service_pb2.SystemSharedMemoryStatusRequest())
    return {name for name in status.regions if name.startswith(PREFIX)}


def here(process: int | None = None) -> set[str]:
    """The regions of this process, or of another one."""
    return {path.name for path in FOLDER.glob(f"{PREFIX}{process or os.getpid()}-*")}


@pytest.fixture(autouse=True)
def nothing_is_left_behind(server: EmbeddedServer) -> Iterator[None]:
    """On the server, or here."""
    yield
    assert on_the_server(server.url) == here() == set()


@PLACES
def test_answers_are_the_same(server: EmbeddedServer, examples: dict[str, Path], preprocess: str) -> None:
    paths = list(examples.values())
    with (
        Classifier(server.url, REAL, preprocess=preprocess) as over_the_wire,  # type: ignore[arg-type]
        Classifier(server.url, REAL, preprocess=preprocess, shared_memory=True) as client,  # type: ignore[arg-type]
    ):
        assert client.classify(paths[0]).labels == over_the_wire.classify(paths[0]).labels
        np.testing.assert_array_equal(client.probabilities(paths * 5), over_the_wire.probabilities(paths * 5))
        many = [result.labels for result in client.classify_many(paths * 10, batch_size=3) if result]  # type: ignore[union-attr]
        assert many == [over_the_wire.classify(path).labels for path in paths] * 10
        assert len(on_the_server(server.url)) == 1


@pytest.mark.parametrize("compression", ["deflate", "gzip"])
def test_compressed_requests_are_answered_alike(
    cropping_classifier: Classifier, server: EmbeddedServer, examples: dict[str, Path], compression: Any
) -> None:
    with Classifier(server.url, REAL, preprocess="client", compression=compression) as client:
        assert client.classify(examples["cat"]) == cropping_classifier.classify(examples["cat"])


def test_a_bad_image_does_not_hinder_the_others(server: EmbeddedServer, examples: dict[str, Path]) -> None:
    damaged = examples["cat"].read_bytes()[:900]
    with Classifier(server.url, REAL, shared_memory=True) as client:
        first, second, third = client.classify_many([examples["cat"], damaged, examples["espresso"]])
    assert isinstance(second, ImageRejected)
    assert [first.top.name, third.top.name] == ["tiger cat", "espresso"]  # type: ignore[union-attr]


def test_async(server: EmbeddedServer, examples: dict[str, Path]) -> None:
    async def ask() -> tuple[str, int]:
        async with AsyncClassifier(server.url, REAL, shared_memory=True) as client:
            return (await client.classify(examples["cat"])).top.name, len(on_the_server(server.url))

    assert asyncio.run(ask()) == ("tiger cat", 1)


def test_threads_share_a_region(server: EmbeddedServer, examples: dict[str, Path]) -> None:
    found: list[str] = []
    with Classifier(server.url, REAL, shared_memory=True) as client:
        ask = [
            threading.Thread(target=lambda: found.append(client.classify(examples["cat"]).top.name)) for _ in range(12)
        ]
        for thread in ask:
            thread.start()
        for thread in ask:
            thread.join()
        assert len(on_the_server(server.url)) == 1
    assert found == ["tiger cat"] * 12


CLIENT = """
import sys
from tritonclas import Classifier
client = Classifier(sys.argv[1], sys.argv[2], shared_memory=True)
print(client.classify(sys.argv[3]).top.name, flush=True)
sys.stdin.read()
"""


def test_a_client_that_is_killed_is_cleaned_up_after(server: EmbeddedServer, examples: dict[str, Path]) -> None:
    command = [sys.executable, "-c", CLIENT, server.url, REAL, str(examples["cat"])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline().strip() == "tiger cat"
        process.send_signal(signal.SIGKILL)
        process.wait(20)
    left = here(process.pid)
    assert len(left) == 1
    assert on_the_server(server.url) == left
    with Classifier(server.url, REAL, shared_memory=True) as client:
        client.classify(examples["cat"])
        assert not here(process.pid)
        assert not left & on_the_server(server.url)


def test_a_server_that_is_restarted(server: EmbeddedServer, repository: Path, examples: dict[str, Path]) -> None:
    with EmbeddedServer([REAL], repository) as first:
        client = Classifier(first.url, REAL, shared_memory=True, timeout_s=60)
        client.classify(examples["cat"])
        ports = first.ports
    with EmbeddedServer([REAL], repository, ports=Ports(ports.grpc, ports.http, ports.metrics)) as second:
        assert client.classify(examples["cat"]).top.name == "tiger cat"
        assert len(on_the_server(second.url)) == 1
        client.close()
        assert on_the_server(second.url) == set()


def test_a_process_that_ends_without_closing_leaves_nothing_here(
    server: EmbeddedServer, examples: dict[str, Path]
) -> None:
    command = [sys.executable, "-c", CLIENT, server.url, REAL, str(examples["cat"])]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        assert process.wait(60) == 0
    assert here(process.pid) == set()
    with Classifier(server.url, REAL, shared_memory=True) as client:
        client.classify(examples["cat"])  # removes it on the server
