"""The pods that deploy/kubernetes makes: what they run, as whom, on which machines, and for how long."""

from __future__ import annotations

import copy
import re

import pytest

from scripts.downloads.archive_lock import LOCK, ArchiveLock
from scripts.profiles import PLANS
from scripts.serve import main as serve
from scripts.tritonserver import EXIT_TIMEOUT_S
from tests.unit.kubernetes import (
    FOLDER,
    KSERVE,
    OVERLAYS,
    PRODUCTION,
    RENDERED,
    ROOT,
    containers,
    mounts,
    of_kind,
    pod,
    pod_labels,
    server,
    understood,
)
from tritonclas import zoo

SECRETS = "/run/secrets/tritonclas"
each_overlay = pytest.mark.parametrize("folder", OVERLAYS)
each_rendered = pytest.mark.parametrize("folder", RENDERED)


@each_rendered
def test_commands_understand_their_arguments_and_are_about_one_model(folder: str) -> None:
    parameters = [understood(container) for container in containers(folder)]
    (names,) = {each["names"] for each in parameters}
    assert set(names) <= set(zoo.MODELS)
    assert {str(each["repository"]) for each in parameters} == {"/models"}
    assert parameters[-1]["address"] == "0.0.0.0"
    if folder == "overlays/cpu":
        assert len(parameters) == 2
        assert parameters[-1]["profile"] is None
        return
    assert parameters[1]["profile"].name == parameters[2]["profile"]


@each_overlay
def test_images_are_those_that_can_do_it(folder: str) -> None:
    images = [container["image"].partition(":")[0] for container in containers(folder)]
    cpu, gpu = "tritonclas-server-cpu", "tritonclas-server"
    assert images == ([cpu, cpu] if folder == "overlays/cpu" else [cpu, gpu, gpu])
    version = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    assert {container["image"].partition(":")[2] for container in containers(folder)} == {version[1]}


@pytest.mark.parametrize(("folder", "product"), [("overlays/t4", "T4"), ("overlays/v100", "V100")])
def test_plans_are_built_and_served_on_one_kind_of_gpu(folder: str, product: str) -> None:
    (profile,) = (plan for plan in PLANS if plan.name == understood(server(folder))["profile"])
    spec = pod(folder)
    if "nodeSelector" in spec:
        products = [spec["nodeSelector"]["nvidia.com/gpu.product"]]
    else:
        affinity = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        (term,) = affinity["nodeSelectorTerms"]
        (expression,) = term["matchExpressions"]
        assert (expression["key"], expression["operator"]) == ("nvidia.com/gpu.product", "In")
        products = expression["values"]
    assert profile.gpu == product
    assert all(product in each.split("-") for each in products)
    for container in containers(folder):
        gpus = container["resources"]["limits"].get("nvidia.com/gpu")
        assert gpus == (None if container["name"] == "populate" else 1)


def test_cores_of_the_cpu_overlay_are_its_own() -> None:
    """Quality of service "Guaranteed", in whole cores: what the static CPU manager asks for."""
    for container in containers("overlays/cpu"):
        resources = container["resources"]
        assert resources["requests"] == resources["limits"]
        assert resources["limits"]["cpu"].isdigit()


@each_rendered
def test_nothing_runs_as_root_or_writes_where_it_need_not(folder: str) -> None:
    security = pod(folder)["securityContext"]
    assert security["runAsNonRoot"] is True
    assert {security[name] for name in ("runAsUser", "runAsGroup", "fsGroup")} == {1000}
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod(folder)["automountServiceAccountToken"] is False
    for container in containers(folder):
        own = container["securityContext"]
        assert (own["readOnlyRootFilesystem"], own["allowPrivilegeEscalation"]) == (True, False)
        assert own["capabilities"] == {"drop": ["ALL"]}
        assert {"/tmp", "/cache"} <= {path for path, mount in mounts(container).items() if not mount.get("readOnly")}
        assert {"cpu", "memory"} <= set(container["resources"]["requests"])
        assert "memory" in container["resources"]["limits"]
    served = mounts(server(folder))
    assert {path for path, mount in served.items() if mount.get("readOnly")} == {"/models", SECRETS}
    (memory,) = (each for each in pod(folder)["volumes"] if each["name"] == served["/dev/shm"]["name"])
    assert memory["emptyDir"] == {"medium": "Memory", "sizeLimit": "1Gi"}


@pytest.mark.parametrize("folder", [*OVERLAYS, PRODUCTION])
def test_the_namespace_admits_nothing_less_strict(folder: str) -> None:
    assert of_kind(folder, "Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


@each_rendered
def test_a_pod_has_time_to_end_and_to_start(folder: str) -> None:
    command, seconds = server(folder)["lifecycle"]["preStop"]["exec"]["command"]
    assert command == "sleep"
    assert pod(folder)["terminationGracePeriodSeconds"] > int(seconds) + EXIT_TIMEOUT_S
    startup = server(folder)["startupProbe"]
    (start_timeout,) = (option for option in serve.params if option.name == "start_timeout_s")
    assert startup["periodSeconds"] * startup["failureThreshold"] > start_timeout.default


def test_components_read_secrets_where_they_are_mounted() -> None:
    values = [word.partition("=")[2] for word in server(PRODUCTION)["args"]]
    files = {value.removeprefix(f"{SECRETS}/") for value in values if value.startswith(SECRETS)}
    assert files == {"tls.crt", "tls.key", "ca.crt", "admin.key"}
    (volume,) = (
        each for each in pod(PRODUCTION)["volumes"] if each["name"] == mounts(server(PRODUCTION))[SECRETS]["name"]
    )
    assert [each["secret"]["name"] for each in volume["projected"]["sources"]] == ["tritonclas-tls", "tritonclas-admin"]


def test_the_example_keeps_what_the_overlay_and_the_components_say() -> None:
    """A list that is patched as a whole would have lost it."""
    model, *words = server(PRODUCTION)["args"]
    first, *rest = server("overlays/t4")["args"]
    added = ["--admin-key", "--tls-clients", "--tls-certificate", "--tls-key"]
    assert [word.partition("=")[0] for word in words[: len(added)]] == added
    assert words[len(added) :] == rest
    assert model != first
    assert all(container["image"].startswith("registry.example/") for container in containers(PRODUCTION))
    assert all(container["args"][0] == "EfficientNetB4" for container in containers(PRODUCTION))
    (claim,) = (each for each in pod(PRODUCTION)["volumes"] if each["name"] == "models")
    assert "emptyDir" not in claim


def test_the_pod_of_kserve_is_the_overlays() -> None:
    ours, theirs = copy.deepcopy(pod("overlays/t4")), copy.deepcopy(pod(KSERVE))
    assert theirs.pop("labels") == pod_labels("overlays/t4")
    ours["containers"][0]["name"] = "kserve-container"
    assert theirs == ours


def test_the_archives_that_pods_expect_can_be_read() -> None:
    path = FOLDER / "components" / "known-archives" / "archives.lock"
    ArchiveLock(path).find("EfficientNetB0")
    populating = containers(PRODUCTION)[0]
    (variable,) = populating["env"]
    assert variable == {"name": LOCK, "value": f"/etc/tritonclas/{path.name}"}
    (volume,) = (
        each for each in pod(PRODUCTION)["volumes"] if each["name"] == mounts(populating)["/etc/tritonclas"]["name"]
    )
    assert list(of_kind(PRODUCTION, "ConfigMap")["data"]) == [path.name]
    assert volume["configMap"]["name"] == of_kind(PRODUCTION, "ConfigMap")["metadata"]["name"]


@each_rendered
def test_connections_end_so_that_clients_find_new_pods(folder: str) -> None:
    """And requests that are on them have time, as long as the pod itself would give them."""
    options = dict(word.lstrip("-").split("=") for word in server(folder)["args"] if word.startswith("--grpc-"))
    assert 0 < int(options["grpc-max-connection-age"]) <= 60_000
    assert int(options["grpc-max-connection-age-grace"]) >= EXIT_TIMEOUT_S * 1000
