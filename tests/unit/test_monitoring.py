"""Rules, scrape configurations and the dashboard fit each other and the documentation; promtool tests the rules."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.panels import ROWS, queries
from tests.prometheus import tool

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
GRAFANA = ROOT / "deploy" / "grafana"
DASHBOARD = GRAFANA / "dashboards" / "tritonclas.json"
PAGE = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")

RULES = [
    rule
    for path in sorted((PROMETHEUS / "rules").glob("*.yml"))
    for group in yaml.safe_load(path.read_text())["groups"]
    for rule in group["rules"]
]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
RECORDED = {rule["record"] for rule in RULES if "record" in rule}


def promtool(*arguments: object) -> None:
    done = subprocess.run([tool("promtool"), *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_the_configuration_and_the_rules() -> None:
    promtool("check", "config", PROMETHEUS / "prometheus.yml")
    promtool("check", "rules", *(PROMETHEUS / "rules").glob("*.yml"))


def test_prometheus_takes_the_kubernetes_configuration_but_for_the_discovery(tmp_path: Path) -> None:
    """Debian's Prometheus is built without the discovery of pods; the rest of the file is checked by it."""
    config = yaml.safe_load((PROMETHEUS / "prometheus-kubernetes.yml").read_text())
    (found,) = config["scrape_configs"][0].pop("kubernetes_sd_configs")
    assert found == {"role": "pod", "selectors": [{"role": "pod", "label": "app.kubernetes.io/name=tritonclas"}]}
    config["rule_files"] = [str(PROMETHEUS / "rules" / "*.yml")]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    promtool("check", "config", tmp_path / "prometheus.yml")


@pytest.mark.parametrize("path", sorted((PROMETHEUS / "tests").glob("*.yml")), ids=lambda path: path.stem)
def test_rules_do_what_they_should(path: Path) -> None:
    promtool("test", "rules", path)


def test_both_configurations_have_the_job_that_the_rules_ask_for() -> None:
    """And no other: Triton ends only after its exit timeout while somebody keeps a connection to its HTTP port."""
    asked = set(re.findall(r'job="([^"]+)"', " ".join(rule["expr"] for rule in RULES)))
    names = ("prometheus.yml", "prometheus-kubernetes.yml")
    (here,), (there,) = (yaml.safe_load((PROMETHEUS / name).read_text())["scrape_configs"] for name in names)
    assert asked == {here["job_name"]} == {there["job_name"]}
    assert here["static_configs"] == [{"targets": ["triton:8002"]}]
    assert there["relabel_configs"][0]["regex"] == "8002"


@pytest.mark.parametrize("alert", ALERTS.values(), ids=ALERTS)
def test_an_alert_says_what_to_do_and_is_seen_to_fire(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in {"page", "ticket", "info"}
    assert alert["annotations"].keys() == {"summary", "description"}
    assert f"| `{alert['alert']}` | {alert['labels']['severity']} |" in PAGE
    expected = [
        sample["labels"]
        for path in (PROMETHEUS / "tests").glob("*.yml")
        for test in yaml.safe_load(path.read_text())["tests"]
        for asked in test["promql_expr_test"]
        for sample in asked["exp_samples"]
    ]
    assert any(f'alertname="{alert["alert"]}"' in labels for labels in expected)


def test_the_page_names_no_alert_that_there_isnt() -> None:
    assert set(re.findall(r"`(Tritonclas[A-Z]\w+)`", PAGE)) == set(ALERTS)


def test_what_is_asked_for_is_recorded() -> None:
    asked = [rule["expr"] for rule in RULES] + [query for _, query in queries()]
    names = {name for query in asked for name in re.findall(r"\b[a-z_]+:[a-z0-9_:]+", query)}
    assert names <= RECORDED


def test_a_dashboards_panel_is_good_for_something_and_has_a_name_of_its_own() -> None:
    for row in ROWS:
        assert len({panel.title for panel in row.panels}) == len(row.panels)
        assert all(panel.says.endswith(".") and panel.queries for panel in row.panels)


def test_the_committed_dashboard_is_the_one_that_is_built_and_fits_grafanas_schema() -> None:
    pytest.importorskip("grafana_foundation_sdk", reason="Grafana's SDK needs Python 3.11")
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models.dashboard import Dashboard

    from scripts.dashboard import rendered

    text = DASHBOARD.read_text(encoding="utf-8")
    assert text == rendered()
    read = Dashboard.from_json(json.loads(text))  # which knows the schema's fields, and forgets others
    assert json.loads(JSONEncoder(sort_keys=True).encode(read)) == json.loads(text)


def test_the_dashboard_has_every_query_and_its_panels_dont_overlap() -> None:
    panels = [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]
    assert [target["expr"] for panel in panels for target in panel["targets"]] == [query for _, query in queries()]
    places = [panel["gridPos"] for panel in panels]
    cells = [
        (x, y) for at in places for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


def test_grafana_finds_prometheus_and_the_dashboard() -> None:
    provisioning = GRAFANA / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())["datasources"]
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "tritonclas.yaml").read_text())["providers"]
    assert (source["type"], source["url"]) == ("prometheus", "http://prometheus:9090")
    interval = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["global"]["scrape_interval"]
    assert source["jsonData"]["timeInterval"] == interval
    assert f"{provider['options']['path']}" in PAGE
