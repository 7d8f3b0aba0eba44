"""Several servers behind one client: requests are shared out, and go to those that are there."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.wire.scripted import Service, image, serving
from tritonclas import Classifier, DeadlineExceeded, InvalidRequest, ServerUnavailable
from tritonclas._channel import channel_of

Connect = Callable[..., Classifier]


@pytest.fixture
def services() -> list[Service]:
    return [Service(), Service(), Service()]


@pytest.fixture
def urls(services: list[Service]) -> Iterator[list[str]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(serving(service)) for service in services]


def asked(services: list[Service]) -> list[int]:
    return [len(service.asked("ModelInfer")) for service in services]


def test_requests_are_shared_out(services: list[Service], urls: list[str], connect: Connect) -> None:
    classifier = connect(urls)
    while not all(asked(services)):  # until all connections stand
        classifier.classify(image(1))
    before = asked(services)
    results = classifier.classify_many(map(image, range(60)), batch_size=1, in_flight=6)
    assert [result.top.index for result in results] == list(range(60))
    assert [now - then for now, then in zip(asked(services), before, strict=True)] == [20, 20, 20]


def test_a_server_that_isnt_there_gets_nothing(
    services: list[Service], urls: list[str], nobody: str, connect: Connect
) -> None:
    classifier = connect([nobody, urls[0]])
    for number in range(20):
        assert classifier.classify(image(number)).top.index == number
    assert asked(services) == [20, 0, 0]


@pytest.mark.parametrize(("several", "attempts"), [(False, 2), (True, 3)])
def test_to_several_servers_a_request_is_sent_again_twice_as_often(
    nobody: str, connect: Connect, several: bool, attempts: int
) -> None:
    other = nobody.replace("127.0.0.1", "127.0.0.2")
    classifier = connect([nobody, other] if several else nobody, retries=1)
    with pytest.raises(ServerUnavailable) as failed:
        classifier.classify(image(1))
    assert failed.value.attempts == attempts


def test_a_server_that_goes_is_left_out(connect: Connect) -> None:
    stays, goes = Service(), Service()
    with serving(stays) as one:
        with serving(goes) as other:
            classifier = connect([one, other])
            while not all(asked([stays, goes])):
                classifier.classify(image(1))
            results = classifier.classify_many(map(image, range(400)), batch_size=1, in_flight=8)
            found = [next(results).top.index for _ in range(10)]
        found += [result.top.index for result in results]
    assert found == list(range(400))


def test_nobody_at_all(nobody: str, connect: Connect) -> None:
    classifier = connect([nobody, nobody.replace("127.0.0.1", "localhost")])
    with pytest.raises(ServerUnavailable, match=f"{nobody}, localhost") as caught:
        classifier.classify(image(1))
    assert caught.value.endpoint == classifier.url == f"{nobody}, {nobody.replace('127.0.0.1', 'localhost')}"


def test_a_name_that_gRPC_resolves(services: list[Service], urls: list[str], connect: Connect) -> None:  # noqa: N802
    port = urls[0].rpartition(":")[2]
    assert connect(f"dns:///localhost:{port}").classify(image(5)).top.index == 5
    assert "dns:" in repr(connect(f"dns:///localhost:{port}"))


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ([], "there is no endpoint"),
        (["localhost:8001", "localhost"], "'localhost' isn't a gRPC endpoint"),
        (["localhost:8001", "dns:///localhost:8002"], "'dns:///localhost:8002' isn't a gRPC endpoint"),
        ("dns:///localhost", "'localhost' isn't a gRPC endpoint"),
        ("dns://8.8.8.8/localhost:8001", "isn't a gRPC endpoint"),
    ],
)
def test_endpoints_that_are_none(connect: Connect, url: Any, why: str) -> None:
    with pytest.raises(InvalidRequest, match=why):
        connect(url)


def addresses(monkeypatch: pytest.MonkeyPatch, names: dict[str, list[str]]) -> Counter[str]:
    """Names and their addresses, instead of a name server's; how often each is asked for."""
    count: Counter[str] = Counter()

    def lookup(host: str, port: int, **_: Any) -> list[Any]:
        count[host] += 1
        if not names[host]:
            raise socket.gaierror(-2, "Name or service not known")
        return [(None, None, None, "", (address, port)) for address in names[host]]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    return count


def test_names_become_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses(monkeypatch, {"one": ["10.0.0.1", "10.0.0.2"], "other": ["10.0.0.3", "10.0.0.1"]})
    assert channel_of(["one:1", "other:2"])[0] == "ipv4:10.0.0.1:1,10.0.0.2:1,10.0.0.3:2,10.0.0.1:2"


def test_addresses_of_both_kinds_become_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses(monkeypatch, {"one": ["10.0.0.1"], "fe80::1": ["fe80::1%eth0"]})
    assert channel_of(["one:1", "[fe80::1]:2"])[0] == "ipv6:[::ffff:10.0.0.1]:1,[fe80::1]:2"


def test_a_name_that_cant_be_resolved_is_done_without_and_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    addresses(monkeypatch, {"one": ["10.0.0.1"], "other": []})
    with caplog.at_level(logging.WARNING, "tritonclas"):
        assert channel_of(["one:1", "other:2"])[0] == "ipv4:10.0.0.1:1"
    assert "other:2 can't be resolved" in caplog.text


def test_no_name_that_can_be_resolved_is_an_error(monkeypatch: pytest.MonkeyPatch, connect: Connect) -> None:
    classifier = connect(["one:1", "other:2"])
    addresses(monkeypatch, {"one": [], "other": []})
    with pytest.raises(ServerUnavailable, match="one:1, other:2: the host name can't be resolved"):
        classifier.classify(image(1))


def test_resolving_counts_towards_the_deadline(monkeypatch: pytest.MonkeyPatch, connect: Connect) -> None:
    classifier = connect(["one:1", "other:2"])

    def slow(*_: Any) -> Any:
        threading.Event().wait(0.3)
        return "ipv4:127.0.0.1:1", ()

    monkeypatch.setattr("tritonclas._channel.channel_of", slow)
    with pytest.raises(DeadlineExceeded):
        classifier.classify(image(1), timeout_s=0.1)


@pytest.mark.parametrize("odd", ["a..b:8001", "x" * 64 + ":8001"])
def test_names_that_are_none_are_done_without(urls: list[str], connect: Connect, odd: str) -> None:
    assert connect([odd, urls[0]]).classify(image(3)).top.index == 3


def test_names_are_resolved_once(
    services: list[Service], urls: list[str], monkeypatch: pytest.MonkeyPatch, connect: Connect
) -> None:
    classifier = connect([url.replace("127.0.0.1", name) for url, name in zip(urls, "abc", strict=True)])
    count = addresses(monkeypatch, {name: ["127.0.0.1"] for name in "abc"})
    for _ in range(3):
        classifier.classify(image(1))
    assert count == dict.fromkeys("abc", 1)
