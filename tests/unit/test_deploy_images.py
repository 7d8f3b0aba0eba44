"""The images and the compose file fit the repository, the commands and each other, and pass their own tools."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from scripts import engines, populate, serve
from scripts.tensorrt.gpus import IMAGE
from scripts.tritonserver import EXIT_TIMEOUT_S
from tests.dockerfiles import ROOT, stages

DEPLOY = ROOT / "deploy"
DOCKERFILES = [path for path in sorted(DEPLOY.rglob("Dockerfile*")) if path.suffix != ".dockerignore"]
REQUIREMENTS = sorted(DEPLOY.rglob("requirements*.txt"))
COMMANDS = {"scripts.serve": serve.main, "scripts.engines": engines.main, "scripts.populate": populate.main}
SERVERS = ("t4", "v100", "cpu")


def compose(*profiles: str, secure: bool = False, **variables: str) -> dict[str, Any]:
    """The services as Docker's compose reads them; it needs no engine for that."""
    spec = find_spec("compose")
    assert spec
    assert spec.submodule_search_locations
    program = Path(spec.submodule_search_locations[0], "docker-compose")
    files = [DEPLOY / "compose.yaml", *([DEPLOY / "compose.secure.yaml"] if secure else [])]
    command = [str(program), *(f"--file={file}" for file in files), *(f"--profile={name}" for name in profiles)]
    done = subprocess.run(
        [*command, "config", "--format=json"],
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    services: dict[str, Any] = json.loads(done.stdout)["services"]
    return services


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_hadolint_has_nothing_to_say(path: Path) -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("hadolint"), path], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.cpu"])
def test_every_file_that_is_copied_exists_and_is_let_through(name: str) -> None:
    admitted = (DEPLOY / f"{name}.dockerignore").read_text().split()
    assert admitted[0] == "*"
    for stage in stages(DEPLOY / name):
        for source in (source for sources, _ in stage.copies for source in sources):
            assert (ROOT / source).exists()
            assert any(f"{source}/".startswith(f"{each[1:]}/") for each in admitted if each.startswith("!")), source


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.cpu"])
def test_nothing_runs_as_root_and_health_is_asked_where_it_is(name: str) -> None:
    last = stages(DEPLOY / name)[-1]
    assert last.one("USER") == "1000:1000"
    assert last.instructions.index(("USER", "1000:1000")) > max(
        place for place, (each, _) in enumerate(last.instructions) if each in {"RUN", "COPY"}
    )
    assert last.entrypoint[-3:] == ["python3", "-m", "scripts.serve"]
    assert last.variables["TRITONCLAS_REPOSITORY"] == "/models"
    assert last.variables["XDG_CACHE_HOME"] == "/cache"
    defaults = {param.name: param.default for param in serve.main.params}
    assert f"127.0.0.1:{defaults['http_port']}/v2/health/ready" in last.one("HEALTHCHECK")
    assert last.one("EXPOSE").split() == [str(defaults[f"{each}_port"]) for each in ("grpc", "http", "metrics")]


def test_the_image_is_the_one_that_plans_are_built_for() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    (tag,) = re.findall(r"^ARG TRITON=(\S+)$", text, re.MULTILINE)
    assert f"nvcr.io/nvidia/tritonserver:{tag}" == IMAGE
    assert compose("t4")["t4"]["build"]["args"] == {"TRITON": tag}
    assert compose("t4", TRITON="25.08-py3")["t4"]["build"]["args"] == {"TRITON": "25.08-py3"}


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_what_is_installed_is_pinned_and_hashed(path: Path) -> None:
    text = path.read_text()
    pins = re.findall(r"^([\w.-]+)==(\S+) \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", text, re.MULTILINE)
    assert len(pins) == len(re.findall(r"^[^\s#]", text, re.MULTILINE)) > 10
    locked = (ROOT / "requirements.lock").read_text()
    assert [name for name, version, _ in pins if not re.search(rf"^{name}=={version}\s", locked, re.MULTILINE)] == []
    for dockerfile in DOCKERFILES:
        installs = [run for stage in stages(dockerfile) for run in stage.all("RUN") if "pip install" in run]
        assert all("--require-hashes" in run and "--only-binary :all:" in run for run in installs)


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "secured"])
@pytest.mark.parametrize("server", SERVERS)
def test_commands_understand_what_compose_tells_them(server: str, secure: bool, tmp_path: Path) -> None:
    services = compose(server, secure=secure, MODELS="EfficientNetB0 EfficientNetB4", SECRETS=str(tmp_path))
    for service in services.values():
        dockerfile = stages(ROOT / service["build"]["dockerfile"])[-1]
        entrypoint = service.get("entrypoint") or dockerfile.entrypoint
        context = COMMANDS[entrypoint[-1]].make_context(entrypoint[-1], list(service["command"]))
        assert context.params["names"] == ("EfficientNetB0", "EfficientNetB4")
    told = services[server]["command"]
    assert ("--admin-key" in told) is secure


@pytest.mark.parametrize("server", SERVERS)
def test_a_server_is_contained(server: str) -> None:
    """And only gRPC is published, on loopback, unless another address is asked for."""
    services = compose(server)
    for service in services.values():
        assert (service["user"], service["read_only"], service["cap_drop"]) == ("1000:1000", True, ["ALL"])
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert int(service["deploy"]["resources"]["limits"]["memory"]) == 16 * 2**30
        assert any("exec" in each.split(":")[1].split(",") for each in service["tmpfs"])  # backends are run from there
    running = services[server]
    assert int(running["shm_size"]) == 2**30
    assert int(running["stop_grace_period"].removesuffix("s")) > EXIT_TIMEOUT_S + 5
    ((published),) = running["ports"]
    assert (published["host_ip"], published["target"], published["published"]) == ("127.0.0.1", 8001, "8001")
    assert compose(server, BIND="0.0.0.0")[server]["ports"][0]["host_ip"] == "0.0.0.0"
    assert {volume["target"]: volume.get("read_only", False) for volume in running["volumes"]} == {
        "/models": True,
        "/cache": False,
    }
    assert running["networks"]["default"]["aliases"] == ["triton"]


@pytest.mark.parametrize("gpu", ["t4", "v100"])
def test_plans_come_after_models_and_before_the_server(gpu: str) -> None:
    services = compose(gpu)
    done = {"condition": "service_completed_successfully", "required": True}
    assert services[gpu]["depends_on"] == {f"plans-{gpu}": done}
    assert services[f"plans-{gpu}"]["depends_on"] == {"models": done}
    for name in (gpu, f"plans-{gpu}"):
        ((device),) = services[name]["deploy"]["resources"]["reservations"]["devices"]
        assert (device["driver"], device["capabilities"], device["count"]) == ("nvidia", ["gpu"], -1)
        assert f"--profile {gpu}-fp16" in " ".join(services[name]["command"])


def test_what_watches_and_what_loads() -> None:
    services = compose("cpu", "monitoring", "locust", LOCUST_MODEL="EfficientNetB4")
    assert services["locust"]["environment"]["LOCUST_HOST"] == "triton:8001"
    assert services["locust"]["environment"]["LOCUST_MODEL"] == "EfficientNetB4"
    for name in ("prometheus", "grafana", "locust"):
        assert services[name]["read_only"] is True
        assert [port["host_ip"] for port in services[name]["ports"]] == ["127.0.0.1"]
        assert ":latest" not in services[name]["image"]
    assert "monitoring" not in compose("cpu")


def test_secrets_must_be_named() -> None:
    with pytest.raises(AssertionError, match="set it to the folder with tls"):
        compose("cpu", secure=True)
