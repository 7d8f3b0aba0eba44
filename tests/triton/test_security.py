"""TLS, certificates on both sides, and keys for restricted protocols, on the real Triton."""

from __future__ import annotations

import asyncio
import logging
import pickle
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest
from click.testing import CliRunner

from scripts.embedded import EmbeddedServer
from scripts.photographs import EXAMPLES
from tests.triton.certificates import HERE, Files
from tests.triton.conftest import REAL, SYNTHETIC
from tritonclas import (
    AccessDenied,
    AsyncClassifier,
    AsyncModelServer,
    Classifier,
    InvalidRequest,
    ModelServer,
    ServerUnavailable,
    Tls,
    TritonClasError,
)
from tritonclas.cli import main

CAT = EXAMPLES / "cat.jpg"
SECRET = "correct-horse-battery-staple"
ADMIN = {"triton-grpc-protocol-admin-key": SECRET}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def serve(files: Files, repository: Path) -> Callable[..., EmbeddedServer]:
    """A server with TLS, to be used in a `with` block."""

    def server(certificate: Path, key: Path, *, tls: Tls, mutual: bool = False) -> EmbeddedServer:
        options = [
            "--grpc-use-ssl=1",
            f"--grpc-server-cert={certificate}",
            f"--grpc-server-key={key}",
            f"--grpc-root-cert={files.ca}",
            *(["--grpc-use-ssl-mutual=1"] if mutual else []),
        ]
        return EmbeddedServer([REAL], repository, options=options, tls=tls)

    return server


@pytest.fixture(scope="module")
def encrypted(files: Files, serve: Callable[..., EmbeddedServer]) -> Iterator[EmbeddedServer]:
    with serve(*files.pair(*HERE), tls=Tls(ca=files.ca)) as running:
        yield running


@pytest.fixture(scope="module")
def mutual(files: Files, serve: Callable[..., EmbeddedServer]) -> Iterator[tuple[EmbeddedServer, Tls]]:
    certificate, key = files.pair("client.example")
    own = Tls(ca=files.ca, certificate=certificate, key=key)
    with serve(*files.pair(*HERE), tls=own, mutual=True) as running:
        yield running, own


def top(url: str, tls: Tls | None, *, asynchronous: bool = False) -> int:
    """The class of the cat, by either client."""

    async def ask() -> int:
        async with AsyncClassifier(url, REAL, tls=tls) as client:
            return (await client.classify(CAT)).top.index

    if asynchronous:
        return asyncio.run(ask())
    with Classifier(url, REAL, tls=tls) as client:
        return client.classify(CAT).top.index


BOTH = pytest.mark.parametrize("asynchronous", [False, True], ids=["blocking", "asyncio"])


@BOTH
def test_an_encrypted_connection(encrypted: EmbeddedServer, files: Files, asynchronous: bool) -> None:
    assert top(encrypted.url, Tls(ca=files.ca), asynchronous=asynchronous) == 282
    assert top(encrypted.url, Tls(ca=files.ca.read_bytes()), asynchronous=asynchronous) == 282


def test_several_names_of_one_server(encrypted: EmbeddedServer, files: Files) -> None:
    port = encrypted.ports.grpc
    with Classifier(
        [f"127.0.0.1:{port}", f"localhost:{port}"], REAL, tls=Tls(files.ca, server_name="localhost")
    ) as two:
        assert two.classify(CAT).top.index == 282


@BOTH
def test_a_server_that_nobody_vouches_for_is_refused(
    encrypted: EmbeddedServer, files: Files, asynchronous: bool
) -> None:
    for tls in (Tls(ca=files.other_ca), Tls()):
        with pytest.raises(AccessDenied, match="isn't vouched for by an authority that is trusted here") as caught:
            top(encrypted.url, tls, asynchronous=asynchronous)
        assert caught.value.attempts == 1


def test_an_expired_certificate_is_refused(files: Files, serve: Callable[..., EmbeddedServer]) -> None:
    begin, end = (datetime(2020, 1, day, tzinfo=timezone.utc) for day in (1, 2))
    tls = Tls(ca=files.ca)
    expired = pytest.raises(AccessDenied, match="the server's certificate has expired")
    with serve(*files.pair(*HERE, not_before=begin, not_after=end), tls=tls) as server, expired:
        top(server.url, tls)


def test_the_certificate_of_another_host_is_refused_unless_it_is_expected(
    files: Files, serve: Callable[..., EmbeddedServer]
) -> None:
    expected = Tls(ca=files.ca, server_name="triton.example")
    with serve(*files.pair("triton.example"), tls=expected) as server:
        assert top(server.url, expected) == 282
        with pytest.raises(AccessDenied, match=r"certificate is another host's; .*Tls\(server_name=\.\.\.\)"):
            top(server.url, Tls(ca=files.ca))


def test_plain_text_to_an_encrypted_port(encrypted: EmbeddedServer) -> None:
    with pytest.raises(ServerUnavailable, match=r"the connection was closed; .* TLS"):
        top(encrypted.url, None)


def test_tls_to_a_port_of_plain_text(server: EmbeddedServer, files: Files) -> None:
    with pytest.raises(ServerUnavailable, match="no TLS is spoken there"):
        top(server.url, Tls(ca=files.ca))


@BOTH
def test_both_sides_prove_who_they_are(mutual: tuple[EmbeddedServer, Tls], asynchronous: bool) -> None:
    server, own = mutual
    assert top(server.url, own, asynchronous=asynchronous) == 282


@pytest.mark.parametrize("foreign", [False, True], ids=["no certificate", "another authority's"])
def test_a_client_that_cant_is_refused(mutual: tuple[EmbeddedServer, Tls], files: Files, foreign: bool) -> None:
    server, _ = mutual
    certificate, key = files.pair("stranger.example", foreign=True) if foreign else (None, None)
    with pytest.raises(ServerUnavailable, match=r"the connection was closed; .* client's certificate"):
        top(server.url, Tls(ca=files.ca, certificate=certificate, key=key))


def test_a_key_of_another_certificate_is_named(mutual: tuple[EmbeddedServer, Tls], files: Files) -> None:
    server, _ = mutual
    (certificate, _), (_, key) = files.pair("one.example"), files.pair("other.example")
    with pytest.raises(InvalidRequest, match="certificate and key aren't a pair"):
        top(server.url, Tls(ca=files.ca, certificate=certificate, key=key))


def test_the_command_has_options_for_it(mutual: tuple[EmbeddedServer, Tls], files: Files) -> None:
    server, own = mutual
    words = ["--url", server.url, "--ca", str(own.ca), "--certificate", str(own.certificate), "--key", str(own.key)]
    result = CliRunner().invoke(main, ["classify", str(CAT), "--model", REAL, *words])
    assert (result.exit_code, "tiger cat" in result.stdout) == (0, True), result.output
    assert CliRunner().invoke(main, ["ready", REAL, *words]).stdout == f"{REAL}: ready\n"
    result = CliRunner().invoke(main, ["models", "--url", server.url, "--ca", str(files.other_ca)])
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "isn't vouched for by an authority" in result.stderr


@pytest.fixture(scope="module")
def restricted(repository: Path) -> Iterator[EmbeddedServer]:
    """Loading and unloading ask for a key."""
    options = (f"--grpc-restricted-protocol=model-repository:admin-key={SECRET}",)
    with EmbeddedServer([REAL], repository, options=options) as running:
        yield running


def test_a_key_opens_a_restricted_protocol(restricted: EmbeddedServer) -> None:
    with ModelServer(restricted.url, headers=ADMIN) as control:
        control.load(SYNTHETIC)
        control.unload(SYNTHETIC)
    with ModelServer(restricted.url) as control:
        for headers in ({}, {"triton-grpc-protocol-admin-key": "wrong"}):
            with pytest.raises(AccessDenied, match="protocol is restricted"):
                control.with_headers(headers).load(SYNTHETIC)
        control.with_headers({"Triton-gRPC-Protocol-Admin-Key": SECRET}).unload(SYNTHETIC)

    async def load() -> None:
        async with AsyncModelServer(restricted.url) as asynchronous:
            await asynchronous.with_headers(ADMIN).load(SYNTHETIC)
            with pytest.raises(AccessDenied):
                await asynchronous.unload(SYNTHETIC)

    asyncio.run(load())


@pytest.mark.parametrize("there", [True, False])
def test_no_secret_is_told(
    restricted: EmbeddedServer,
    files: Files,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    there: bool,
) -> None:
    """Not by a repr, an error, what that is pickled to, or a log, however much is logged."""
    url = restricted.url if there else "127.0.0.1:1"
    certificate, key = files.pair("secret.example")
    tls = Tls(certificate=certificate.read_bytes(), key=key.read_bytes())
    told = [repr(tls)]

    def tell(use: Callable[[], object]) -> None:
        with pytest.raises(TritonClasError) as caught:
            use()
        error = caught.value
        told.extend([repr(error), str(error), repr(vars(error)), repr(error.__cause__), repr(pickle.dumps(error))])

    with (
        caplog.at_level(logging.DEBUG),
        Classifier(url, "Unknown", headers=ADMIN) as client,
        ModelServer(url, headers=ADMIN) as control,
    ):
        told += [repr(client), repr(control)]
        for use in (lambda: client.classify(CAT), client.max_batch_size, lambda: control.load("Unknown")):
            tell(use)
        tell(lambda: client.with_headers({"a b": SECRET}))
        tell(lambda: client.with_headers({"key": SECRET + "\n"}))
        tell(lambda: Classifier(url, REAL, tls=Tls(key=tls.key)))
        tell(lambda: Classifier(url, REAL, tls=Tls(certificate=SECRET.encode(), key=tls.key)))
    told += [caplog.text, *capfd.readouterr()]
    for secret in (SECRET, "PRIVATE KEY", key.read_text().splitlines()[1]):
        assert secret not in "".join(told)
