"""The real server's spans become part of the caller's trace."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from scripts.embedded import EmbeddedServer
from tests.spans import recorded
from tests.triton.conftest import REAL
from tritonclas import Classifier


class Collector(BaseHTTPRequestHandler):
    """Takes spans, in JSON as OTLP has it (the OpenTelemetry Protocol)."""

    server: Any

    def do_POST(self) -> None:
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        for resource in content["resourceSpans"]:
            for scope in resource["scopeSpans"]:
                self.server.spans += scope["spans"]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def collector() -> Iterator[Any]:
    """A server for spans, on a free port."""
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    server.spans = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_tritons_spans_are_below_the_requests(repository: Path, examples: dict[str, Path], collector: Any) -> None:
    settings = [
        "mode=opentelemetry",
        "rate=1",
        "level=TIMESTAMPS",
        f"opentelemetry,url=http://127.0.0.1:{collector.server_port}/v1/traces",
        "opentelemetry,bsp_schedule_delay=100",
    ]
    options = [f"--trace-config={setting}" for setting in settings]
    with recorded() as exporter, EmbeddedServer([REAL], repository, options=options) as server:
        with Classifier(server.url, REAL) as client:
            result = client.classify(examples["cat"])
        request = next(span for span in exporter.get_finished_spans() if span.name.endswith("/ModelInfer"))
        end_s = time.monotonic() + 20
        while time.monotonic() < end_s and not any(span["name"] == REAL for span in collector.spans):
            time.sleep(0.05)
    theirs = {span["name"]: span for span in collector.spans}
    assert {REAL, f"{REAL}_net", "compute"} <= set(theirs)
    assert {span["traceId"] for span in collector.spans} == {f"{request.context.trace_id:032x}"}
    attributes = {each["key"]: each["value"] for each in theirs[REAL]["attributes"]}
    assert attributes["triton.request_id"] == {"stringValue": result.request_id}
    assert f"{request.context.span_id:016x}" in {span["parentSpanId"] for span in collector.spans}
