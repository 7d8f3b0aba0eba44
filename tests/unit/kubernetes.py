"""The manifests under deploy/kubernetes, as kustomize renders them, and what tests ask of them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from scripts import engines, populate, serve

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
OVERLAYS = ("overlays/t4", "overlays/v100", "overlays/cpu")
PRODUCTION, KSERVE = "examples/production", "kserve"
RENDERED = (*OVERLAYS, PRODUCTION, KSERVE)
ENTRY_POINT = ["python3", "-m", "scripts.serve"]
COMMANDS = {"scripts.populate": populate.main, "scripts.engines": engines.main, "scripts.serve": serve.main}


@cache
def rendered(folder: str) -> tuple[dict[str, Any], ...]:
    """The objects that `kubectl apply -k` would send."""
    kubectl = Path(sys.executable).with_name("kubectl")
    command = [kubectl, "kustomize", FOLDER / folder]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def of_kind(folder: str, kind: str) -> dict[str, Any]:
    """The only object of that kind."""
    (found,) = (each for each in rendered(folder) if each["kind"] == kind)
    return found


def pod(folder: str) -> dict[str, Any]:
    """The spec of the pods that serve."""
    if folder == KSERVE:
        return of_kind(folder, "InferenceService")["spec"]["predictor"]
    return of_kind(folder, "Deployment")["spec"]["template"]["spec"]


def pod_labels(folder: str) -> dict[str, str]:
    """The labels of the pods that serve."""
    if folder == KSERVE:
        return pod(folder)["labels"]
    return of_kind(folder, "Deployment")["spec"]["template"]["metadata"]["labels"]


def containers(folder: str) -> list[dict[str, Any]]:
    """Those that prepare and, last, the one that serves."""
    return [*pod(folder)["initContainers"], *pod(folder)["containers"]]


def server(folder: str) -> dict[str, Any]:
    """The container that serves."""
    (found,) = pod(folder)["containers"]
    return found


def understood(container: dict[str, Any]) -> dict[str, Any]:
    """What the project's own command makes of a container's arguments; click's error if it can't.

    The images' entry point is serve, which a command replaces, and with it NVIDIA's own entry point.
    """
    command = container.get("command", ENTRY_POINT)
    if container["image"].partition(":")[0].endswith("tritonclas-server") and "command" in container:
        nvidias, *command = command
        assert nvidias == "/opt/nvidia/nvidia_entrypoint.sh"
    python, dash_m, module = command
    assert (python, dash_m) == ("python3", "-m")
    found = COMMANDS[module].make_context(module, list(container["args"])).params
    if module == "scripts.serve":  # what follows -- is tritonserver's
        found["names"], found["options"] = map(tuple, serve.split_options(found["names"]))
    return found


def mounts(container: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """A container's mounts by their paths."""
    return {each["mountPath"]: each for each in container["volumeMounts"]}


def probes(container: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Those of the three that ask Triton over HTTP."""
    every = (container[f"{which}Probe"] for which in ("startup", "readiness", "liveness"))
    return (probe for probe in every if "httpGet" in probe)
