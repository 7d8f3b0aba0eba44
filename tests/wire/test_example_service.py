"""examples/service.py in front of a scripted server: what goes wrong, in HTTP."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import grpc
import httpx
import pytest

from tests.example_service import service_for, upload
from tests.wire.scripted import MODEL, Hang, Service, image, infer, refuse, serving

LIMIT = 50_000


@pytest.fixture(scope="module")
def script() -> Service:
    """One for all tests here, which take back what they change."""
    return Service()


@pytest.fixture(scope="module")
def client(script: Service) -> Iterator[httpx.Client]:
    """A client of the service."""
    with serving(script) as url, service_for(url, MODEL, MAX_UPLOAD_BYTES=LIMIT, TRITON_TIMEOUT_S=60) as client:
        yield client


@pytest.fixture
def answers(script: Service, monkeypatch: pytest.MonkeyPatch) -> dict:
    """The script's answers; changes end with the test."""
    changed = dict(script.answers)
    monkeypatch.setattr(script, "answers", changed)
    return changed


def test_several_are_answered_in_order(client):
    response = upload(client, *(image(number) for number in range(20)))
    assert response.status_code == 200
    assert [result["labels"][0]["index"] for result in response.json()["results"]] == list(range(20))
    assert [result["image"] for result in response.json()["results"]] == [str(number) for number in range(20)]


def test_top_k_is_asked_for(client):
    labels = client.post("/classify?top_k=2", files={"images": image(7)}).json()["results"][0]["labels"]
    assert [label["index"] for label in labels] == [7, 8]
    assert client.post("/classify?top_k=0", files={"images": image(7)}).status_code == 422


def test_a_bad_one_has_an_error_in_its_place(client):
    response = upload(client, image(1), image("bad"), image(2))
    assert response.status_code == 200
    first, bad, second = response.json()["results"]
    assert (first["error"], bad["error"], second["error"]) == (None, "bad", None)
    assert upload(client, image("bad"), image("bad")).status_code == 422


@pytest.mark.parametrize(
    ("code", "message", "status"),
    [
        (grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size", 503),
        (grpc.StatusCode.INTERNAL, "out of memory", 502),
        (grpc.StatusCode.NOT_FOUND, "Request for unknown model", 500),
    ],
)
def test_what_the_server_reports_has_its_status(code, message, status, client, answers):
    answers["ModelInfer"] = refuse(code, message)
    response = upload(client, image(1))
    assert response.status_code == status
    assert (response.headers.get("Retry-After") == "1") == (status == 503)
    assert message not in response.text


def test_a_header_shortens_the_deadline(client, answers):
    answers["ModelInfer"] = hang = Hang(infer)
    assert upload(client, image(1), timeout_s=0.5).status_code == 504
    assert hang.arrived.is_set()
    hang.release()


@pytest.mark.parametrize("timeout", ["0", "-1", "nan", "soon"])
def test_a_deadline_is_a_positive_number(timeout, client):
    response = client.post("/classify", files={"images": image(1)}, headers={"X-Timeout-S": timeout})
    assert response.status_code == 422


def test_a_header_cannot_lengthen_it():
    script = Service()
    script.answers["ModelInfer"] = Hang(infer)
    with serving(script) as url, service_for(url, MODEL, TRITON_TIMEOUT_S=0.5) as client:
        assert upload(client, image(1), timeout_s=1000).status_code == 504


def test_who_leaves_cancels_the_request(client, answers):
    arrived, ended = threading.Event(), threading.Event()

    def until_cancelled(request, context):
        context.add_callback(ended.set)
        arrived.set()
        assert ended.wait(50)
        return infer(request, context)

    answers["ModelInfer"] = until_cancelled
    with pytest.raises(httpx.ReadTimeout):
        client.post("/classify", files={"images": image(1)}, timeout=httpx.Timeout(30, read=2))
    assert arrived.is_set()
    assert ended.wait(20), "the request to Triton went on, though its client had left"


def test_a_body_that_says_it_is_too_large_is_refused_unread(client):
    with socket.create_connection((client.base_url.host, client.base_url.port), timeout=20) as connection:
        connection.sendall(
            b"POST /classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
            b"Content-Length: 1000000000000\r\n\r\n"
        )
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_body_that_becomes_too_large_is_refused_then(client):
    read = 0

    def chunks() -> Iterator[bytes]:
        nonlocal read
        yield b'--b\r\nContent-Disposition: form-data; name="images"; filename="0"\r\n\r\n'
        while read < 200 * LIMIT:
            read += 10_000
            yield bytes(10_000)

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    assert client.post("/classify", content=chunks(), headers=headers).status_code == 413
    assert read < 200 * LIMIT


def test_a_body_within_the_limit_is_taken(client):
    response = upload(client, image("7:name") + bytes(LIMIT - 1000))
    assert response.json()["results"][0]["labels"][0]["index"] == 7
    assert upload(client, bytes(LIMIT)).status_code == 413


def test_ready_is_what_the_model_is(client, answers):
    assert client.get("/healthz").json() == {"ready": True}
    answers["ModelReady"] = refuse(grpc.StatusCode.NOT_FOUND, "Request for unknown model")
    assert client.get("/healthz").status_code == 503


def test_without_a_server_it_starts_and_says_so(nobody):
    with service_for(nobody, MODEL) as client:
        assert client.get("/healthz").status_code == 503
        response = upload(client, image(1))
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "1"
