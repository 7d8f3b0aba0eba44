"""The entry point's own TLS, keys and limits, on the real server: what is open, and what isn't."""

from __future__ import annotations

import functools
import http.client
import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from scripts.access import ADMIN_HEADER
from scripts.photographs import EXAMPLES
from tests.triton.certificates import HERE, Files
from tests.triton.commands import ROOT, read_until, run, started
from tests.triton.conftest import REAL, SYNTHETIC
from tritonclas import AccessDenied, Classifier, ImageRejected, ModelServer, ServerUnavailable, Tls

CAT = EXAMPLES / "cat.jpg"
SERVE = ("-m", "scripts.serve", REAL, "--grpc-port", 0, "--http-port", 0, "--metrics-port", 0)
READY = r"ready: gRPC (\S+), HTTP :(\d+), metrics :(\d+)"
#: Where each of Triton's HTTP interfaces is, by its name among the restricted ones.
HTTP = {
    "metadata": ("GET", "/v2"),
    "inference": ("POST", f"/v2/models/{REAL}/infer"),
    "model-config": ("GET", f"/v2/models/{REAL}/config"),
    "statistics": ("GET", f"/v2/models/{REAL}/stats"),
    "shared-memory": ("GET", "/v2/systemsharedmemory/status"),
    "model-repository": ("POST", "/v2/repository/index"),
    "trace": ("GET", "/v2/trace/setting"),
    "logging": ("GET", "/v2/logging"),
}


class Running(NamedTuple):
    """A server that the command has started."""

    url: str
    http: int
    metrics: int

    def asked(self, what: str, headers: dict[str, str] | None = None) -> bool:
        """Whether an HTTP interface is open."""
        method, path = HTTP[what]
        return self.status(method, path, b"{}" if method == "POST" else b"", headers or {}) != 403

    def status(self, method: str, path: str, body: bytes, headers: dict[str, str], *, port: int = 0) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", port or self.http, timeout=20)
        try:
            connection.request(method, path, body, headers)
            return connection.getresponse().status
        finally:
            connection.close()

    def open(self, headers: dict[str, str] | None = None) -> set[str]:
        """The HTTP interfaces that are open."""
        return {what for what in HTTP if self.asked(what, headers)}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("secrets") / "admin.key"
    path.write_text(secrets.token_hex(32) + "\n")
    return path


@pytest.fixture(scope="module")
def serve(repository: Path) -> Iterator[Callable[..., Running]]:
    """Start the command with these options; all are stopped in the end."""
    processes = []
    with ExitStack() as stack:

        @functools.cache
        def begin(*options: object) -> Running:
            process = stack.enter_context(started(*SERVE, "--repository", repository, *options))
            url, *ports = read_until(process, READY).groups()
            processes.append(process)
            return Running(url, *map(int, ports))

        yield begin
        for process in processes:
            process.terminate()
        for process in processes:
            process.communicate(timeout=60)
        assert {process.returncode for process in processes} == {0}


@pytest.fixture(scope="module")
def secured(serve: Callable[..., Running], files: Files, key: Path) -> Running:
    """Mutual TLS and a key for administration."""
    certificate, private = files.pair(*HERE)
    tls = ("--tls-certificate", certificate, "--tls-key", private, "--tls-clients", files.ca)
    return serve(*tls, "--admin-key", key)


@pytest.fixture(scope="module")
def client(files: Files) -> Tls:
    certificate, private = files.pair("client.example")
    return Tls(ca=files.ca, certificate=certificate, key=private)


def refused(use: Callable[[], object]) -> bool:
    try:
        use()
    except AccessDenied:
        return True
    return False


def words(tls: Tls) -> tuple[object, ...]:
    return ("--ca", tls.ca, "--certificate", tls.certificate, "--key", tls.key)


def test_only_known_clients_classify(secured: Running, client: Tls, files: Files) -> None:
    with Classifier(secured.url, REAL, tls=client) as known:
        assert known.classify(CAT).top.index == 282
    for tls in (Tls(ca=files.ca), None):
        with Classifier(secured.url, REAL, tls=tls) as stranger, pytest.raises(ServerUnavailable):
            stranger.classify(CAT)


def test_administration_needs_the_key(secured: Running, client: Tls, key: Path) -> None:
    with ModelServer(secured.url, tls=client) as server:
        admin = server.with_headers({ADMIN_HEADER: key.read_text().strip()})
        admin.load(SYNTHETIC)
        assert {each.name for each in admin.models() if each.ready} >= {REAL, SYNTHETIC}
        assert admin.statistics(REAL)
        admin.unload(SYNTHETIC)
        for use in (server.models, server.statistics, lambda: server.load(SYNTHETIC)):
            assert refused(use)
        assert server.ready(REAL)


def test_shared_memory_needs_it_too(secured: Running, client: Tls, key: Path, caplog: pytest.LogCaptureFixture) -> None:
    for headers, warned in (({ADMIN_HEADER: key.read_text().strip()}, False), ({}, True)):
        caplog.clear()
        with Classifier(secured.url, REAL, tls=client, headers=headers, shared_memory=True) as sharing:
            assert sharing.classify(CAT).top.index == 282
        assert ("restricted" in caplog.text) is warned


def test_beside_tls_only_health_is_left_of_http(secured: Running, key: Path) -> None:
    for path in ("live", "ready"):
        assert secured.status("GET", f"/v2/health/{path}", b"", {}) == 200
    assert secured.open() == secured.open({ADMIN_HEADER: key.read_text().strip()}) == set()


def test_the_commands_reach_it(secured: Running, client: Tls, key: Path, tmp_path: Path) -> None:
    where = ("--url", secured.url, *words(client))
    admin = ("--header", f"{ADMIN_HEADER}=@{key}")
    for command in (
        ("tritonclas", "classify", CAT, "--model", REAL, *where),
        ("tritonclas", "ready", REAL, *where),
        ("tritonclas", "models", *where, *admin),
        ("tritonclas", "stats", REAL, *where, *admin),
    ):
        done = run("-m", *command)
        assert done.returncode == 0, done.stderr
    assert "restricted" in run("-m", "tritonclas", "models", *where).stderr


@pytest.mark.slow
def test_accuracy_and_load_are_measured_there(secured: Running, client: Tls, key: Path, tmp_path: Path) -> None:
    where = ("--url", secured.url, *words(client))
    labelled = ROOT / "tests" / "data" / "labelled"
    pictures = ("--images", ROOT, "--labels", labelled / "val_list.txt", "--state", tmp_path / "state")
    done = run("-m", "scripts.evaluate", REAL, *pictures, *where, "--limit", 4, "--json")
    assert done.returncode == 0, done.stderr
    quick = ("--users", 2, "--batch-sizes", 1, "--duration", 0.3, "--warm-up", 0.1, "--max-windows", 3)
    admin = ("--header", f"{ADMIN_HEADER}=@{key}")
    done = run("-m", "loadtest.sweep", "--models", REAL, *quick, *where, *admin, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    (cell,) = json.loads((tmp_path / "out" / "results.json").read_text())["cells"]
    assert cell["requests"] > 0
    assert cell["failures"] == 0
    assert cell["server_ms"]["compute_infer"] > 0  # statistics, which need the key
    kept = "".join(path.read_text() for path in (tmp_path / "out").iterdir() if path.suffix in {".toml", ".json"})
    assert key.read_text().strip() not in kept
    assert str(client.key) not in kept


def test_locust_reaches_it(secured: Running, client: Tls, key: Path, tmp_path: Path) -> None:
    short = ("--headless", "--only-summary", "--users", 2, "--spawn-rate", 2, "--run-time", "2s")
    load = ("-m", "locust", "-f", "loadtest/locustfile.py", "--host", secured.url, "--model", REAL, *short)
    done = run(*load, *words(client), "--header", f"{ADMIN_HEADER}=@{key}", "--csv", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    stranger = run(*load)
    assert stranger.returncode != 0
    assert stranger.stderr.count("Error: ") == 1
    assert "Traceback" not in stranger.stderr


def test_without_options_what_others_have_in_memory_stays_theirs(serve: Callable[..., Running]) -> None:
    """On loopback the server obeys whoever is on this machine, but for shared memory."""
    assert serve().open() == set(HTTP) - {"shared-memory"}


def test_asked_for_it_is_open(serve: Callable[..., Running], caplog: pytest.LogCaptureFixture) -> None:
    running = serve("--shared-memory")
    assert running.open() == set(HTTP)
    with Classifier(running.url, REAL, shared_memory=True) as sharing:
        assert sharing.classify(CAT).top.index == 282
    assert "memory" not in caplog.text


def test_whom_others_reach_isnt_theirs_to_command(serve: Callable[..., Running]) -> None:
    """Without a key nobody has one."""
    running = serve("--address", "0.0.0.0")
    assert running.open() == {"metadata", "inference", "model-config", "statistics"}
    with ModelServer(running.url) as server:
        assert server.ready(REAL)
        assert refused(server.models)
        assert refused(lambda: server.load(SYNTHETIC))


def test_a_large_request_is_an_answered_one(serve: Callable[..., Running]) -> None:
    """gRPC's own limit is 4 MiB; Triton's is 2 GiB, and nobody can change it."""
    with Classifier(serve("--shared-memory").url, REAL) as client:
        with pytest.raises(ImageRejected, match="not a picture"):
            client.classify(bytes(2**26))
        assert client.classify(CAT).top.index == 282


def test_a_key_is_wanted_over_http_too(serve: Callable[..., Running], key: Path) -> None:
    running = serve("--admin-key", key)
    assert running.open() == {"metadata", "inference", "model-config"}
    assert running.open({ADMIN_HEADER: "wrong"}) == {"metadata", "inference", "model-config"}
    assert running.open({ADMIN_HEADER: key.read_text().strip()}) == set(HTTP)


def test_http_and_metrics_may_stay_here(serve: Callable[..., Running]) -> None:
    here = ("--http-address", "127.0.0.1", "--metrics-address", "127.0.0.1")
    running = serve("--address", "127.0.0.2", *here)
    assert running.url.startswith("127.0.0.2:")
    assert running.status("GET", "/v2/health/ready", b"", {}) == 200
    assert running.status("GET", "/metrics", b"", {}, port=running.metrics) == 200


@pytest.mark.parametrize("port", ["http", "metrics"])
def test_http_isnt_for_strangers(repository: Path, key: Path, port: str) -> None:
    """This Triton ends at a large form, whatever is restricted. Should this fail, docs/security.md is out of date."""
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    with started(*SERVE, "--repository", repository, "--admin-key", key) as process:
        url, *ports = read_until(process, READY).groups()
        running = Running(url, *map(int, ports))
        with pytest.raises((http.client.HTTPException, OSError)):
            running.status("POST", "/", b"x" * 2**26, form, port=getattr(running, port))
        read_until(process, "tritonserver ended with status -11")
        assert process.wait(20) == 1
