"""The container image, compose file and Kubernetes manifests of the load test fit the repository and each other."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "locust"
KUBERNETES = FOLDER / "kubernetes"
WEB, WORKERS = 8089, 5557


PARSED = """
import json, sys
from loadtest import locustfile
from locust.argument_parser import get_parser
print(json.dumps(vars(get_parser().parse_args(sys.argv[1:])), default=str))
"""


def parsed(words: list[str], variables: dict[str, str]) -> dict:
    """What Locust with the project's locustfile makes of a command line and its environment."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.environ.get("PYTHONPATH", ""), **variables}
    done = subprocess.run(
        [sys.executable, "-c", PARSED, *words], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_what_the_image_copies_suffices_for_the_locustfile(tmp_path):
    """The Dockerfile's own COPY lines, followed, and PYTHONPATH as it says."""
    lines = (FOLDER / "Dockerfile").read_text().splitlines()
    for *sources, target in (line.split()[1:] for line in lines if line.startswith("COPY")):
        for source in sources:
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, tmp_path / target)
            else:
                (tmp_path / target).mkdir(exist_ok=True)
                shutil.copy(ROOT / source, tmp_path / target)
    (said,) = (line for line in lines if "PYTHONPATH=" in line)
    paths = said.partition("=")[2].replace("/app", str(tmp_path))
    code = (
        "import sys; sys.path = [each for each in sys.path if each not in sys.argv]; "
        "import loadtest.locustfile, tritonclas; print(loadtest.__file__); print(tritonclas.__file__)"
    )

    done = subprocess.run(
        [sys.executable, "-c", code, str(ROOT), str(ROOT / "client")],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert all(Path(each).is_relative_to(tmp_path) for each in done.stdout.split())


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def compose() -> dict:
    return load(FOLDER / "compose.yaml")["services"]


def pod(role: str) -> dict:
    return load(KUBERNETES / f"{role}.yaml")["spec"]["template"]["spec"]


def container(role: str) -> dict:
    (found,) = pod(role)["containers"]
    return found


def options_of_kubernetes() -> dict[str, str]:
    """The variables that its pods have."""
    lines = (KUBERNETES / "locust.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


def arguments(role: str) -> list[list[str]]:
    """The role's arguments in compose and in Kubernetes."""
    return [compose()[role]["command"], container(role)["args"]]


@pytest.mark.parametrize("role", ["master", "worker"])
@pytest.mark.parametrize("where", ["compose", "kubernetes"])
def test_locust_understands_the_arguments_and_variables(role, where):
    if where == "compose":
        words = compose()[role]["command"]
        variables = {**compose()[role]["environment"], "LOCUST_HOST": "triton:8001", "LOCUST_BATCH_SIZE": "8"}
        variables["LOCUST_MODEL"] = "EfficientNetB0"
    else:
        words, variables = container(role)["args"], options_of_kubernetes()

    options = parsed(words, variables)

    assert options[role] is True
    for name, value in variables.items():  # a name that Locust doesn't know would change nothing
        assert str(options[name.removeprefix("LOCUST_").lower()]).removesuffix(".0") == value


def test_masters_are_where_workers_look_for_them():
    service = load(KUBERNETES / "service.yaml")
    names = ["master", service["metadata"]["name"]]
    for name, master, worker in zip(names, arguments("master"), arguments("worker"), strict=True):
        assert worker[worker.index("--master-host") + 1] == name
        assert (
            worker[worker.index("--master-port") + 1] == master[master.index("--master-bind-port") + 1] == f"{WORKERS}"
        )
        assert master[master.index("--web-port") + 1] == f"{WEB}"
    assert compose()["master"]["ports"] == [f"127.0.0.1:{WEB}:{WEB}"]
    assert f"EXPOSE {WEB} {WORKERS}" in (FOLDER / "Dockerfile").read_text()
    ports = {each["name"]: each["containerPort"] for each in container("master")["ports"]}
    assert ports == {"web": WEB, "workers": WORKERS}
    assert {each["targetPort"]: each["port"] for each in service["spec"]["ports"]} == ports


def test_selectors_find_their_pods():
    labels = {}
    for role in ("master", "worker"):
        spec = load(KUBERNETES / f"{role}.yaml")["spec"]
        labels[role] = spec["template"]["metadata"]["labels"]
        assert spec["selector"]["matchLabels"] == labels[role]
        assert container(role)["envFrom"][0]["configMapRef"]["name"] == "locust"
    assert load(KUBERNETES / "service.yaml")["spec"]["selector"] == labels["master"]
    assert load(KUBERNETES / "kustomization.yaml")["configMapGenerator"] == [{"name": "locust", "envs": ["locust.env"]}]
    assert labels["master"] != labels["worker"]


def test_every_file_that_is_named_exists():
    resources = load(KUBERNETES / "kustomization.yaml")["resources"]
    assert {*resources, "kustomization.yaml", "locust.env"} == {path.name for path in KUBERNETES.iterdir()}
    for service in compose().values():
        context = FOLDER / service["build"]["context"]
        assert context.resolve() == ROOT
        assert (context / service["build"]["dockerfile"]).is_file()
    copies = re.findall(r"^COPY (.+) \S+$", (FOLDER / "Dockerfile").read_text(), re.MULTILINE)
    sources = [source for copy in copies for source in copy.split()]
    assert sources
    admitted = (FOLDER / "Dockerfile.dockerignore").read_text()
    for source in sources:
        assert (ROOT / source).exists()
        assert f"!{source}\n" in admitted


@pytest.mark.parametrize("role", ["master", "worker"])
def test_nothing_runs_as_root_or_writes_into_its_image(role):
    assert re.search(r"^USER 10001:10001$", (FOLDER / "Dockerfile").read_text(), re.MULTILINE)
    assert pod(role)["securityContext"]["runAsNonRoot"] is True
    security = container(role)["securityContext"]
    assert (security["readOnlyRootFilesystem"], security["allowPrivilegeEscalation"]) == (True, False)
    assert {"requests", "limits"} <= set(container(role)["resources"])
    assert compose()[role]["read_only"] is True
    assert compose()[role]["deploy"]["resources"]["limits"]
    assert all(volume.endswith(":ro") for volume in compose()[role]["volumes"])


def test_images_have_the_locked_versions():
    pins = re.findall(r"^(\S+==\S+)", (FOLDER / "requirements.txt").read_text(), re.MULTILINE)
    locked = (ROOT / "requirements.lock").read_text()
    assert "locust" in {pin.partition("==")[0] for pin in pins}
    assert [pin for pin in pins if not re.search(rf"^{re.escape(pin)}\s", locked, re.MULTILINE)] == []
