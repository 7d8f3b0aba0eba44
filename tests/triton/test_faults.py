"""What goes wrong, provoked on the real server: the client's errors rest on these messages."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from scripts.embedded import EmbeddedServer
from scripts.photographs import EXAMPLES
from scripts.render import config_path
from tests.triton.conftest import REAL, SYNTHETIC
from tritonclas import (
    AccessDenied,
    Classifier,
    DeadlineExceeded,
    InvalidRequest,
    ModelNotFound,
    ModelNotReady,
    ModelServer,
    ServerOverloaded,
    ServerUnavailable,
    TritonClasError,
)

CAT = EXAMPLES / "cat.jpg"
KEY = ("--grpc-restricted-protocol=model-repository:admin-key=secret",)


@contextlib.contextmanager
def changed(repository: Path, name: str, folder: Path) -> Iterator[pb.ModelConfig]:
    """A copy of the repository in `folder`, in which one model's configuration is changed."""
    shutil.copytree(repository, folder)
    path = folder / config_path(name)
    config = text_format.Parse(path.read_text(), pb.ModelConfig())
    yield config
    path.write_text(text_format.MessageToString(config))


def flood(url: str, requests: int = 40) -> list[TritonClasError]:
    """Errors of many requests at once, none of which tries again until there is room."""

    def ask(_: int) -> TritonClasError | None:
        try:
            classifier.classify(CAT)
        except TritonClasError as error:
            return error
        return None

    with Classifier(url, REAL, retries=0) as classifier, ThreadPoolExecutor(requests) as pool:
        return [error for error in pool.map(ask, range(requests)) if error]


def test_unknown_model(server):
    with Classifier(server.url, "EfficientNetB9") as client, pytest.raises(ModelNotFound, match="EfficientNetB9"):
        client.classify(CAT)


def test_unloaded_model(server):
    with ModelServer(server.url) as control, Classifier(server.url, SYNTHETIC) as client:
        client.classify(CAT)
        control.unload(SYNTHETIC)
        with pytest.raises(ModelNotReady):
            client.classify(CAT)
        assert not control.ready(SYNTHETIC)
        control.load(SYNTHETIC)
        client.classify(CAT)
        assert control.ready(SYNTHETIC)


def test_loading_a_model_without_weights(server):
    with ModelServer(server.url) as control, pytest.raises(ModelNotFound, match="EfficientNetB7"):
        control.load("EfficientNetB7")


def test_batch_larger_than_the_model_takes(classifier):
    with pytest.raises(InvalidRequest, match="batch-size must be <= 32"):
        list(classifier.classify_many([CAT] * 33, batch_size=33))


def test_http_port_instead_of_grpc(server):
    client = Classifier(f"127.0.0.1:{server.ports.http}", REAL)
    with client, pytest.raises(ServerUnavailable, match="gRPC port"):
        client.classify(CAT)


def test_deadline(classifier):
    with pytest.raises(DeadlineExceeded, match="within"):
        classifier.classify(CAT, timeout_s=0.001)


def test_full_queue(repository, tmp_path):
    with changed(repository, f"{REAL}_net", tmp_path / "models") as config:
        config.dynamic_batching.default_queue_policy.max_queue_size = 1
    with EmbeddedServer([REAL], tmp_path / "models") as server:
        errors = flood(server.url)
        assert errors
        assert {type(error) for error in errors} == {ServerOverloaded}
        assert "maximum queue size" in str(errors[0])
        with Classifier(server.url, REAL) as client:
            client.classify(CAT)


def test_queue_timeout(repository, tmp_path):
    with changed(repository, f"{REAL}_net", tmp_path / "models") as config:
        config.dynamic_batching.default_queue_policy.default_timeout_microseconds = 1
        config.max_batch_size = 1
    with changed(tmp_path / "models", REAL, tmp_path / "more") as config:
        config.max_batch_size = 1
    with EmbeddedServer([REAL], tmp_path / "more") as server:
        errors = flood(server.url)
        assert errors
        assert {type(error) for error in errors} == {ServerOverloaded}
        assert "timeout" in str(errors[0])


def test_restricted_protocol_and_a_server_that_stops(repository):
    with EmbeddedServer([REAL], repository, options=KEY) as server, ModelServer(server.url) as control:
        with pytest.raises(AccessDenied, match="admin-key"):
            control.load(SYNTHETIC)
        with Classifier(server.url, REAL) as client:
            client.classify(CAT)
            server.stop()
            with pytest.raises(ServerUnavailable):
                client.classify(CAT)
        assert not control.live()
