"""What Kubernetes asks of a server is there on the real one: probes' paths, and the metric that pods are scaled by."""

from __future__ import annotations

import re
import threading
import time
import urllib.request
from pathlib import Path

import grpc
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from scripts.embedded import EmbeddedServer
from tests.triton.conftest import REAL
from tests.unit.kubernetes import FOLDER, probes
from tests.unit.kubernetes import server as container
from tritonclas import Classifier


def got(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        assert answer.status == 200
        return answer.read().decode()


@pytest.mark.parametrize("path", sorted({probe["httpGet"]["path"] for probe in probes(container("overlays/t4"))}))
def test_probes_find_their_path(server: EmbeddedServer, path: str) -> None:
    got(server.ports.http, path)


def test_the_metric_that_pods_are_scaled_by_is_the_time_in_queues(
    server: EmbeddedServer, classifier: Classifier, root: Path
) -> None:
    (rule,) = yaml.safe_load((FOLDER / "prometheus-adapter" / "rules.yaml").read_text())["rules"]["custom"]
    series = rule["seriesQuery"].partition("{")[0]
    monitor = yaml.safe_load((FOLDER / "components" / "pod-monitor" / "pod_monitor.yaml").read_text())
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]

    def queued_us() -> dict[str, float]:
        families = text_string_to_metric_families(got(server.ports.metrics, endpoint["path"]))
        samples = [sample for family in families if family.name == series for sample in family.samples]
        return {sample.labels["model"]: sample.value for sample in samples}

    before = queued_us()
    picture = root / "examples" / "cat.jpg"
    for _ in classifier.classify_many([picture] * 200, batch_size=1, in_flight=20):
        pass
    after = queued_us()

    name = classifier.model
    grown = {model: after[model] - before[model] for model in after}
    steps = [model for model, value in grown.items() if model != name and value]
    assert f"{name}_net" in steps
    assert grown[name] < 0.1 * sum(grown[model] for model in steps)  # the ensemble doesn't count its steps' again


@pytest.mark.slow
def test_tritonserver_ends_connections_as_the_pods_ask_it_to_and_no_call_is_lost(repository: Path, root: Path) -> None:
    """With the pods' options, but for the time: a connection ends after a fifth of a second."""
    words = container("overlays/t4")["args"]
    options = [re.sub("age=[0-9]+$", "age=200", word) for word in words[words.index("--") + 1 :]]
    picture = (root / "examples" / "cat.jpg").read_bytes()
    with EmbeddedServer([REAL], repository, options=options) as server:
        ended = threading.Event()
        with grpc.insecure_channel(server.url) as channel:
            grpc.channel_ready_future(channel).result(timeout=10)
            channel.subscribe(lambda state: ended.set() if state is grpc.ChannelConnectivity.IDLE else None)
            assert ended.wait(timeout=10)
        with Classifier(f"dns:///{server.url}", REAL, retries=0) as classifier:
            end = time.monotonic() + 2
            while time.monotonic() < end:
                classifier.classify(picture)
