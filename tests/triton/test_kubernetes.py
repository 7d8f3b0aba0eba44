"""What Kubernetes asks of a server is there on the real one: probes' paths, and the metric that pods are scaled by."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from scripts.embedded import EmbeddedServer
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
