"""The embedded server as a command and as a context manager."""

from __future__ import annotations

import shutil
import signal
import socket
import tempfile
from pathlib import Path

import psutil
import pytest

from scripts.embedded import EmbeddedServer, Ports
from scripts.errors import ServerError
from tests.triton.commands import interrupt, read_until, run, started
from tests.triton.conftest import REAL
from tests.triton.test_classify import wait_for
from tests.triton.test_faults import CAT
from tritonclas import AccessDenied, Classifier, ModelServer

SERVE = ("-m", "scripts.serve")
FREE_PORTS = ("--grpc-port", 0, "--http-port", 0, "--metrics-port", 0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_the_command_serves_until_it_is_told_to_stop(repository, number):
    with started(*SERVE, REAL, "--repository", repository, *FREE_PORTS) as process:
        url = read_until(process, r"ready: gRPC (\S+),")[1]
        with Classifier(url, REAL) as client:
            assert client.classify(CAT).top.score > 0.1
        assert interrupt(process, number) == 0


def test_a_killed_command_takes_the_server_with_it(repository):
    with started(*SERVE, REAL, "--repository", repository, "--isolated", *FREE_PORTS) as process:
        read_until(process, "ready: gRPC")
        descendants = psutil.Process(process.pid).children(recursive=True)
        assert len(descendants) > 1
        process.kill()
        _, alive = psutil.wait_procs(descendants, timeout=30)
        assert not alive


def test_all_three_ports_are_open_once_it_is_ready(repository):
    for _ in range(3):
        with EmbeddedServer([REAL], repository) as server:
            for port in (server.ports.grpc, server.ports.http, server.ports.metrics):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()


def test_options_after_the_dashes_reach_tritonserver(repository):
    options = ("--", "--grpc-restricted-protocol=model-repository:key=secret")
    with started(*SERVE, REAL, "--repository", repository, *FREE_PORTS, *options) as process:
        url = read_until(process, r"ready: gRPC (\S+),")[1]
        with ModelServer(url) as control, pytest.raises(AccessDenied):
            control.models()
        interrupt(process)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["EfficientNetLite"], "did you mean EfficientNetLite0"),
        (["EfficientNetB7"], "has no model 'EfficientNetB7'"),
        ([REAL, "--grpc-port", "70000"], "70000"),
        ([REAL, "--profile", "t4-fp16"], "runs EfficientNetLite0_net on a GPU"),
        (["--", "--log-verbose=1"], "name at least one model"),
    ],
    ids=["misspelt", "not there", "port", "GPU", "no name"],
)
def test_what_cant_be_served_is_said_in_a_line(repository, arguments, message):
    done = run(*SERVE, "--repository", repository, *arguments)
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_whose_health_is_restricted_is_ready_when_it_answers(repository):
    options = ("--grpc-restricted-protocol=health:key=secret",)
    with EmbeddedServer([REAL], repository, options=options) as server, Classifier(server.url, REAL) as client:
        assert client.classify(CAT).top.score > 0.1


def test_paths_with_spaces_and_accents(repository, tmp_path, monkeypatch):
    """Triton starts its stubs through a shell, and doesn't quote."""
    models = tmp_path / "my módels; here"
    shutil.copytree(repository, models)
    temporary = tmp_path / "a b"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    with EmbeddedServer([REAL], models, start_timeout_s=60) as server, Classifier(server.url, REAL) as client:
        assert client.classify(CAT).top.score > 0.1


def test_a_taken_port_is_named(repository):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(ServerError, match=f"port {port} can't be used"),
            EmbeddedServer([REAL], repository, ports=Ports(http=port)),
        ):
            pass


def test_the_servers_own_message_is_shown_when_a_model_fails_to_load(repository, tmp_path):
    broken = tmp_path / "models"
    shutil.copytree(repository, broken)
    (broken / f"{REAL}_net" / "1" / "model.onnx").write_bytes(b"nothing")
    with (
        pytest.raises(ServerError, match=rf"(?s)failed to load '{REAL}_net' version 1.*[Pp]rotobuf"),
        EmbeddedServer([REAL], broken),
    ):
        pass


def test_a_profile_is_read_instead_of_the_default_configuration(repository, tmp_path):
    models = tmp_path / "models"
    shutil.copytree(repository, models)
    network = models / f"{REAL}_net"
    default = (network / "config.pbtxt").read_text()
    for name, folder in ((REAL, models / REAL), (f"{REAL}_net", network)):
        text = (folder / "config.pbtxt").read_text().replace("max_batch_size: 32", "max_batch_size: 4")
        (folder / "configs").mkdir(exist_ok=True)
        (folder / "configs" / "small.pbtxt").write_text(text)
        assert name in text
    with EmbeddedServer([REAL], models, profile="small") as server, Classifier(server.url, REAL) as client:
        assert client.max_batch_size() == 4
        assert len(list(client.classify_many([CAT] * 9))) == 9
        assert client.classify(CAT).top.score > 0.1
    assert (network / "config.pbtxt").read_text() == default


def test_a_tensorrt_profile_needs_another_server(repository, tmp_path):
    models = tmp_path / "models"
    shutil.copytree(repository, models)
    (models / f"{REAL}_net" / "1" / "t4-fp16.plan").write_bytes(b"a plan")
    with pytest.raises(ServerError, match=r"(?i)tensorrt|GPU"), EmbeddedServer([REAL], models, profile="t4-fp16"):
        pass


def test_only_what_was_chosen_is_loaded(server):
    with ModelServer(server.url) as control:
        ready = {status.name for status in control.models() if status.ready}
    assert ready == {
        REAL,
        f"{REAL}_net",
        "EfficientNetB0_small",
        "EfficientNetB0_small_net",
        "preprocess_256_224_cubic",
    }


def test_nothing_is_left_in_the_temporary_folder(repository, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def ours() -> set[Path]:
        return set(tmp_path.iterdir())

    with EmbeddedServer([REAL], repository):
        assert len(ours()) == 1
    assert not ours()


def test_repeated_requests_are_answered_from_the_cache_if_there_is_one(repository, tmp_path):
    with started(*SERVE, REAL, "--repository", repository, "--response-cache", 64, *FREE_PORTS) as process:
        url = read_until(process, r"ready: gRPC (\S+),")[1]
        with Classifier(url, REAL) as client, ModelServer(url) as control:

            def computed() -> int:
                return control.statistics(f"{REAL}_net")[0].inferences

            before = computed()  # the warm-up
            (top,) = {client.classify(CAT).top for _ in range(3)}
            assert client.probabilities([CAT]).max() == pytest.approx(top.score, abs=1e-6)
            client.classify(CAT.parent / "rocket.jpg")
            wait_for(lambda: computed() >= before + 2)
            assert computed() == before + 2
        done = run("-m", "loadtest.sweep", "--url", url, "--models", REAL, "--out", tmp_path)
        assert done.returncode == 1
        assert "answers repeated pictures from its response cache" in done.stderr
        assert interrupt(process) == 0
