"""What kustomize makes of deploy/kubernetes is valid, hangs together, and is understood by the project's commands."""

from __future__ import annotations

import copy
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from scripts.serve import main as serve
from tests.unit.kubernetes import (
    FOLDER,
    KSERVE,
    OVERLAYS,
    PRODUCTION,
    RENDERED,
    ROOT,
    containers,
    of_kind,
    pod,
    pod_labels,
    probes,
    rendered,
    server,
)

#: The oldest that has all that is used without a feature gate, and the newest with a schema at hand.
VERSIONS = ("1.27", kubernetes_validate.latest_version())
#: What isn't Kubernetes' own is tested in tests/deploy.
CUSTOM = ("InferenceService", "PodMonitor")
each_rendered = pytest.mark.parametrize("folder", RENDERED)


def wrong(objects: Any, version: str) -> list[str]:
    """What Kubernetes' schemas find in objects of its own kinds, fields that they don't know included."""
    faults = []
    for each in objects:
        if each["kind"] not in CUSTOM:
            try:
                kubernetes_validate.validate(each, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                faults.append(f"{each['kind']}: {error.message}")
    return faults


@pytest.mark.parametrize("version", VERSIONS)
@each_rendered
def test_kubernetes_accepts_every_object(folder: str, version: str) -> None:
    assert wrong(rendered(folder), version) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_the_pod_of_kserve_is_a_pod(version: str) -> None:
    spec = {name: value for name, value in pod(KSERVE).items() if name != "labels"}
    assert wrong([{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": spec}], version) == []


def test_a_field_that_kubernetes_does_not_know_is_found() -> None:
    broken = copy.deepcopy(of_kind("overlays/t4", "Deployment"))
    broken["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    assert "readinesProbe" in str(wrong([broken], VERSIONS[0]))


@each_rendered
def test_names_that_are_mentioned_exist(folder: str) -> None:
    volumes = {each["name"]: each for each in pod(folder)["volumes"]}
    mounted = {mount["name"] for container in containers(folder) for mount in container["volumeMounts"]}
    assert mounted == set(volumes)
    there = {(each["kind"], each["metadata"]["name"]) for each in rendered(folder)}
    for volume in volumes.values():
        if "configMap" in volume:
            assert ("ConfigMap", volume["configMap"]["name"]) in there
        if "persistentVolumeClaim" in volume:
            assert ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]) in there
    target = of_kind(folder, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    if folder == KSERVE:
        assert target["name"] == f"{of_kind(folder, 'InferenceService')['metadata']['name']}-predictor"
    else:
        assert (target["kind"], target["name"]) in there


@pytest.mark.parametrize("folder", [*OVERLAYS, PRODUCTION])
def test_selectors_find_the_pods(folder: str) -> None:
    labels = pod_labels(folder)
    wanted = {
        "Service": of_kind(folder, "Service")["spec"]["selector"],
        "Deployment": of_kind(folder, "Deployment")["spec"]["selector"]["matchLabels"],
        "PodDisruptionBudget": of_kind(folder, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
    }
    for constraint in pod(folder)["topologySpreadConstraints"]:
        wanted[constraint["topologyKey"]] = constraint["labelSelector"]["matchLabels"]
    for each in rendered(folder):
        if each["kind"] == "NetworkPolicy":
            wanted[each["metadata"]["name"]] = each["spec"]["podSelector"]["matchLabels"]
        if each["kind"] == "PodMonitor":
            wanted["PodMonitor"] = each["spec"]["selector"]["matchLabels"]
    for selector in wanted.values():
        assert selector.items() <= labels.items()
    assert {each["metadata"].get("namespace") for each in rendered(folder)} - {None} == {
        of_kind(folder, "Namespace")["metadata"]["name"]
    }


@each_rendered
def test_ports_are_one_set_of_names_and_numbers(folder: str) -> None:
    ports = {each["name"]: each["containerPort"] for each in server(folder)["ports"]}
    defaults = {option.name: option.default for option in serve.params}
    assert ports == {name: defaults[f"{name}_port"] for name in ("grpc", "http", "metrics")}
    assert next(iter(ports)) == "grpc"  # KServe's service leads to the first
    assert {probe["httpGet"]["port"] for probe in probes(server(folder))} == {"http"}
    named = re.findall(r"(?:targetPort|port): ([a-z]+)$", yaml.safe_dump_all(rendered(folder)), re.MULTILINE)
    assert set(named) <= set(ports)


def test_the_service_is_headless_and_answers_where_the_sdk_looks() -> None:
    service = of_kind("overlays/t4", "Service")
    assert service["spec"]["clusterIP"] == "None"
    (port,) = service["spec"]["ports"]
    assert f"dns:///{service['metadata']['name']}:{port['port']}" == "dns:///tritonclas:8001"


def test_the_autoscaler_of_kserve_is_the_bases() -> None:
    ours, theirs = (copy.deepcopy(of_kind(each, "HorizontalPodAutoscaler")["spec"]) for each in ("overlays/t4", KSERVE))
    assert ours.pop("scaleTargetRef") != theirs.pop("scaleTargetRef")
    assert ours == theirs


def test_the_adapter_makes_the_metric_that_the_autoscaler_asks_for() -> None:
    (rule,) = yaml.safe_load((FOLDER / "prometheus-adapter" / "rules.yaml").read_text())["rules"]["custom"]
    (metric,) = of_kind("overlays/t4", "HorizontalPodAutoscaler")["spec"]["metrics"]
    assert rule["name"]["as"] == metric["pods"]["metric"]["name"]
    assert re.match(rule["name"]["matches"], rule["seriesQuery"].partition("{")[0])
    assert set(rule["resources"]["overrides"]) == set(re.findall(r'(\w+)!=""', rule["seriesQuery"]))


PROMTOOL_TEST = """
rule_files: [rules.yaml]
evaluation_interval: 15s
tests:
  - interval: 15s
    input_series:
      - series: 'nv_inference_queue_duration_us{namespace="a",pod="busy",model="one_net"}'
        values: 0+45000000x20
      - series: 'nv_inference_queue_duration_us{namespace="a",pod="busy",model="preprocess_256_224_cubic"}'
        values: 0+15000000x20
      - series: 'nv_inference_queue_duration_us{namespace="a",pod="idle",model="one_net"}'
        values: 7+0x20
    promql_expr_test:
      - expr: waiting
        eval_time: 4m
        exp_samples:
          - {labels: 'waiting{pod="busy"}', value: 4}
          - {labels: 'waiting{pod="idle"}', value: 0}
"""


@pytest.mark.skipif(not shutil.which("promtool"), reason="needs promtool: apt-get install prometheus")
def test_the_metric_is_the_number_of_requests_that_wait(tmp_path: Path) -> None:
    """Four requests that wait for a second have waited for four: three before the network, one before preparing."""
    (rule,) = yaml.safe_load((FOLDER / "prometheus-adapter" / "rules.yaml").read_text())["rules"]["custom"]
    query = rule["metricsQuery"]
    series = rule["seriesQuery"].partition("{")[0]
    for name, value in {"Series": series, "LabelMatchers": 'namespace="a"', "GroupBy": "pod"}.items():
        query = query.replace(f"<<.{name}>>", value)
    groups = [{"name": "adapter", "rules": [{"record": "waiting", "expr": query}]}]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": groups}))
    (tmp_path / "test.yaml").write_text(PROMTOOL_TEST)
    done = subprocess.run(
        ["promtool", "test", "rules", "test.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_locusts_pods_are_let_in() -> None:
    (policy,) = (
        each
        for each in rendered("overlays/t4")
        if each["metadata"]["name"] == "tritonclas" and each["kind"] == "NetworkPolicy"
    )
    entries = [entry for rule in policy["spec"]["ingress"] for entry in rule["from"]]
    (admitted,) = (
        entry["podSelector"]["matchExpressions"][0]["values"]
        for entry in entries
        if "matchExpressions" in entry.get("podSelector", {})
    )
    for name in admitted:
        role = name.removeprefix("locust-")
        deployment = yaml.safe_load((ROOT / "deploy" / "locust" / "kubernetes" / f"{role}.yaml").read_text())
        assert deployment["spec"]["template"]["metadata"]["labels"] == {"app.kubernetes.io/name": name}


def test_every_file_is_used_and_every_folder_documented() -> None:
    page = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    for path in FOLDER.rglob("*.yaml"):
        beside = path.with_name("kustomization.yaml")
        assert path == beside or not beside.exists() or path.name in beside.read_text(), path
    for folder in (*FOLDER.glob("overlays/*"), *FOLDER.glob("components/*"), *FOLDER.glob("examples/*")):
        assert f"{folder.parent.name}/{folder.name}" in page


def test_what_the_page_says_of_logs_stands_in_the_source() -> None:
    """Of the commands' own messages; the server's and Kubernetes' are theirs."""
    page = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    seen = re.findall(r"^\| (?:populate|engines|populate or engines|triton): ([^|]*) \|", page, re.MULTILINE)
    said = [words for each in seen for words in re.findall(r"`([a-z][^`/]* [^`]*)`", each)]
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "scripts").rglob("*.py"))
    assert len(said) >= 5
    assert [words for words in said if words not in source] == []
