"""What a client lets be known of its work: counters, the log, and spans where somebody traces."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest

from tests.spans import recorded
from tests.wire.scripted import MODEL, Service, image, infer, refuse
from tritonclas import Classifier, Counters, ImageRejected, ModelServer, ServerOverloaded, ServerUnavailable

Connect = Callable[..., Classifier]

LOST = (grpc.StatusCode.UNAVAILABLE, "Socket closed")
FULL = (grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size")


def failing(*faults: tuple[grpc.StatusCode, str]) -> Callable[[Any, Any], Any]:
    """These, one after the other, and then answers."""
    left = iter(faults)

    def answer(request: Any, context: Any) -> Any:
        if fault := next(left, None):
            context.abort(*fault)
        return infer(request, context)

    return answer


def test_counters(service: Service, classifier: Classifier) -> None:
    assert classifier.counters == Counters()
    service.answers["ModelInfer"] = failing(LOST, LOST)
    classifier.classify(image(1))
    assert classifier.counters == Counters(requests=3, retries=2, images=1)
    list(classifier.classify_many([image(1), b"text", image("bad"), image(2)], batch_size=4))
    assert classifier.counters == Counters(requests=5, retries=2, images=3, rejected=2)
    service.answers["ModelInfer"] = refuse(*FULL)
    for _ in range(2):
        with pytest.raises(ServerOverloaded):
            classifier.with_headers({"a": "b"}).classify(image(1))
    with pytest.raises(ImageRejected):
        classifier.probabilities([b"text"])
    assert classifier.counters == Counters(9, 2, 3, 3, {"ServerOverloaded": 2, "ImageRejected": 1})


def test_counters_of_a_server(control: ModelServer) -> None:
    control.ready()
    assert control.counters == Counters(requests=1)


def test_the_log_is_silent_when_all_is_well(classifier: Classifier, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tritonclas")
    classifier.classify(image(1))
    assert caplog.records == []


def test_the_log_tells_of_retries(service: Service, classifier: Classifier, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tritonclas")
    service.answers["ModelInfer"] = failing(LOST)
    classifier.classify(image(1))
    (record,) = caplog.records
    assert record.levelname == "INFO"
    assert record.message.startswith(f"{MODEL} at {classifier.url}: ModelInfer failed (the connection was closed")
    assert "sent again in" in record.message


def test_the_log_tells_of_requests_who_asks(classifier: Classifier, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "tritonclas")
    classifier.classify(image(1))
    assert [record.levelname for record in caplog.records] == ["DEBUG"]
    assert "ModelInfer answered after 0." in caplog.text


@pytest.fixture
def spans() -> Iterator[Callable[[], Any]]:
    """The spans that have ended, by their names, while somebody traces."""
    with recorded() as exporter:
        yield lambda: {span.name: span for span in exporter.get_finished_spans()}


REQUEST = "inference.GRPCInferenceService/ModelInfer"


def test_a_call_and_its_request_are_spans(service: Service, classifier: Classifier, spans: Callable[[], Any]) -> None:
    result = classifier.classify(image(1))
    call, request = spans()[f"classify {MODEL}"], spans()[REQUEST]
    assert request.parent.span_id == call.context.span_id
    assert request.kind.name == "CLIENT"
    assert dict(request.attributes) == {
        "rpc.system": "grpc",
        "rpc.service": "inference.GRPCInferenceService",
        "rpc.method": "ModelInfer",
        "server.address": classifier.url,
    }
    assert dict(call.attributes) == {
        "tritonclas.model": MODEL,
        "tritonclas.images": 1,
        "tritonclas.request_id": result.request_id,
        "tritonclas.rejected": 0,
    }
    trace, span = f"{request.context.trace_id:032x}", f"{request.context.span_id:016x}"
    assert service.headers[-1]["traceparent"].startswith(f"00-{trace}-{span}-")


def test_every_attempt_is_a_span(service: Service, connect: Connect, url: str) -> None:
    service.answers["ModelInfer"] = failing(LOST, FULL)
    with recorded() as exporter, pytest.raises(ServerOverloaded):
        connect(url).classify(image(1))
    lost, full, call = exporter.get_finished_spans()
    assert [(span.name, span.status.is_ok) for span in (lost, full)] == [(REQUEST, False)] * 2
    assert [span.attributes["error.type"] for span in (lost, full)] == ["UNAVAILABLE"] * 2
    assert call.attributes["error.type"] == "ServerOverloaded"


def test_batches_belong_to_the_span_around_them(connect: Connect, url: str) -> None:
    from opentelemetry import trace

    with recorded() as exporter, Classifier(url, MODEL) as client:
        with trace.get_tracer("test").start_as_current_span("mine") as mine:
            list(client.classify_many(map(image, range(6)), batch_size=2))
            assert trace.get_current_span() is mine
        calls = [span for span in exporter.get_finished_spans() if span.name == f"classify {MODEL}"]
    assert [span.parent.span_id for span in calls] == [mine.get_span_context().span_id] * 3


def test_headers_of_a_client_stay_when_somebody_traces(
    service: Service, connect: Connect, url: str, spans: Callable[[], Any]
) -> None:
    connect(url, headers={"key": "value"}).classify(image(1))
    assert service.headers[-1]["key"] == "value"
    assert "value" not in str(spans()[REQUEST].attributes)


def test_nothing_is_traced_unasked(service: Service, classifier: Classifier) -> None:
    classifier.classify(image(1))
    assert "traceparent" not in service.headers[-1]


UNTRACED = """
import sys
from tritonclas import Classifier, ServerUnavailable
try:
    Classifier(sys.argv[1], "X", retries=0).classify("examples/cat.jpg")
except ServerUnavailable:
    print([name for name in sys.modules if name.startswith("opentelemetry")])
"""


def test_opentelemetry_is_not_imported(nobody: str) -> None:
    done = subprocess.run([sys.executable, "-c", UNTRACED, nobody], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_a_server_that_is_gone_is_counted(connect: Connect, nobody: str) -> None:
    client = connect(nobody, retries=0)
    with pytest.raises(ServerUnavailable):
        client.classify(image(1))
    assert client.counters == Counters(requests=1, failures={"ServerUnavailable": 1})
