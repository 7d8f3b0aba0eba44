"""Objects that operators bring to Kubernetes, against the models that those publish: KServe, and Prometheus' operator.

With all that they depend on, they can't be in one environment with the rest; what is read here needs nothing of it.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.unit.kubernetes import KSERVE, PRODUCTION, of_kind

REQUIREMENTS = """\
kserve==0.21.0 --hash=sha256:df9bc5888704d9085015e08f1a8fced5ff0698f3becc6212d4e7b8234c71623b
cloudcoil==0.6.0 --hash=sha256:91793dea2e86ad292af143c5d335ce2e5d27dfbe66fd4b945c2f069224cf7698
cloudcoil.models.prometheus_operator==0.80.1.0 \
--hash=sha256:a139a60cc0114caace847a34275d7a7cd899ec2dad4120504d8e1cf6a8de0270
"""
LONGEST_DOWNLOAD_S = 120
#: Reads an object on its input and prints what the operator's model keeps of it.
KEPT = """
import json, sys
from cloudcoil.models.prometheus_operator.v1 import PodMonitor
print(PodMonitor.model_validate(json.load(sys.stdin)).model_dump_json(by_alias=True, exclude_unset=True))
"""


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the packages, without what they depend on."""
    folder = tmp_path_factory.mktemp("packages")
    listed = folder / "requirements.txt"
    listed.write_text(REQUIREMENTS)
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:", "--require-hashes"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", folder, "--requirement", listed]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_DOWNLOAD_S, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def fields(packages: Path, model: str) -> dict[str, str] | None:
    """JSON names and types of the fields of KServe's model; None if it is one of Kubernetes' own."""
    for path in (packages / "kserve" / "models").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and node.name == model:
                tables = {
                    target.id: ast.literal_eval(line.value)
                    for line in node.body
                    if isinstance(line, ast.Assign) and isinstance(line.value, ast.Dict)
                    for target in line.targets
                    if isinstance(target, ast.Name)
                }
                types, names = tables["openapi_types"], tables["attribute_map"]
                return {names[name]: types[name] for name in types}
    return None


def strangers(packages: Path, model: str, content: Mapping[str, Any]) -> Iterator[str]:
    """Fields that KServe doesn't know, or whose values are of another type; Kubernetes' own types aren't entered."""
    known = fields(packages, model) or {}
    simple = {"str": str, "int": int, "bool": bool, "dict(str, str)": dict}
    for name, value in content.items():
        kind = known.get(name)
        if kind is None or not isinstance(value, simple.get(kind, list if kind.startswith("list[") else dict)):
            yield f"{model}.{name}"
        elif isinstance(value, dict) and fields(packages, kind):
            yield from strangers(packages, kind, value)


def test_kserve_knows_every_field_of_its_predictor(packages: Path) -> None:
    service = of_kind(KSERVE, "InferenceService")
    assert service["apiVersion"] == "serving.kserve.io/v1beta1"
    assert list(strangers(packages, "V1beta1InferenceService", service)) == []


def test_a_field_that_kserve_does_not_know_is_found(packages: Path) -> None:
    service = {"kind": "InferenceService", "spec": {"predictor": {"minReplica": 1, "timeout": "1"}}}
    wrong = ["V1beta1PredictorSpec.minReplica", "V1beta1PredictorSpec.timeout"]
    assert list(strangers(packages, "V1beta1InferenceService", service)) == wrong


def kept(packages: Path, monitor: dict[str, Any]) -> dict[str, Any]:
    """What the operator's model makes of it, without fields that it doesn't know."""
    done = subprocess.run(
        [sys.executable, "-c", KEPT],
        input=json.dumps(monitor),
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(packages)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_prometheus_operator_knows_every_field_of_the_pod_monitor(packages: Path) -> None:
    monitor = of_kind(PRODUCTION, "PodMonitor")
    assert kept(packages, monitor) == monitor
    monitor = monitor | {"spec": monitor["spec"] | {"unheardOf": 1}}
    assert kept(packages, monitor) != monitor
