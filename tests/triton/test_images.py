"""What the images copy suffices: their files laid out as they will be, their entry point run from there.

In NVIDIA's place stands the embedded tritonserver, laid out as NVIDIA's is, with the networks on our ONNX Runtime
backend.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from scripts import in_process, preflight
from scripts.embedded import _environment
from scripts.photographs import EXAMPLES
from scripts.stubs import STUB
from tests.dockerfiles import ROOT, Stage, lay_out, stages
from tests.triton.commands import read_until, started
from tests.triton.conftest import REAL
from tritonclas import Classifier, ModelServer

CAT = EXAMPLES / "cat.jpg"
GPU, CPU = ROOT / "deploy" / "Dockerfile", ROOT / "deploy" / "Dockerfile.cpu"


def environment(stage: Stage, root: Path, **more: str) -> dict[str, str]:
    """The image's variables with `root` before its paths."""
    moved = {
        name: ":".join(f"{root}{part}" if part.startswith("/") else part for part in value.split(":"))
        for name, value in stage.variables.items()
    }
    return {"PATH": os.environ["PATH"], **moved, "HOME": str(root), **more}


@contextmanager
def running(
    stage: Stage, root: Path, variables: Mapping[str, str], *arguments: object
) -> Iterator[subprocess.Popen[str]]:
    """The image's entry point at work; ended in order afterwards, with all that it has started."""
    words = stage.entrypoint[stage.entrypoint.index("python3") + 1 :]
    command = [sys.executable, *words, *map(str, arguments)]
    process = subprocess.Popen(
        command, cwd=root / "app", env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        yield process
        started = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        assert process.returncode == 0
        assert not psutil.wait_procs(started, timeout=15)[1]
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def nvidia(tmp_path: Path) -> Path:
    """The GPU image's files, beside a tritonserver that lies as in NVIDIA's image."""
    lay_out(stages(GPU)[-1], tmp_path)
    opt = tmp_path / "opt" / "tritonserver"
    (opt / "bin").mkdir()
    (opt / "bin" / "tritonserver").symlink_to(preflight.tritonserver() / "bin" / "tritonserver")
    shutil.copytree(preflight.tritonserver() / "backends" / "python", opt / "backends" / "python")
    shutil.copy2(preflight.stub(), opt / "backends" / "python")
    onnxruntime = shutil.copytree(ROOT / "backends" / "onnxruntime", opt / "backends" / "onnxruntime")
    for shared in (ROOT / "backends" / "shared").glob("*.py"):
        shutil.copy2(shared, onnxruntime)
    return tmp_path


FREE = ("--grpc-port", 0, "--http-port", 0, "--metrics-port", 0)


def variables_of_the_gpu_image(nvidia: Path, repository: Path) -> dict[str, str]:
    libraries = {name: _environment()[name] for name in ("LD_LIBRARY_PATH", "PATH")}
    return environment(stages(GPU)[-1], nvidia, **libraries) | {"TRITONCLAS_REPOSITORY": str(repository)}


def test_the_gpu_image_classifies(nvidia: Path, repository: Path) -> None:
    variables = variables_of_the_gpu_image(nvidia, repository)
    with running(stages(GPU)[-1], nvidia, variables, REAL, *FREE, "--exit-timeout", 5) as process:
        url = f"127.0.0.1:{port_of(process, 'Started GRPCInferenceService at')}"
        with ModelServer(url) as server:
            server.wait_ready(REAL, timeout_s=60)
        with Classifier(url, REAL) as client:
            assert client.classify(CAT).top.index == 282


@pytest.mark.slow
def test_it_ends_for_its_restart_policy_when_a_process_has_died(nvidia: Path, repository: Path) -> None:
    variables = variables_of_the_gpu_image(nvidia, repository)
    before = shared_memory()
    with started("-m", "scripts.serve", REAL, *FREE, env=variables) as process:
        port_of(process, "Started GRPCInferenceService at")
        assert shared_memory() > before
        children = psutil.Process(process.pid).children(recursive=True)
        next(child for child in children if child.name().startswith(STUB)).kill()
        read_until(process, "Error: a backend's process has died, and Triton doesn't start it again; start this anew")
        assert process.wait(10) == 1
        assert shared_memory() == before
        assert not psutil.wait_procs(children, timeout=15)[1]


@pytest.mark.slow
def test_the_cpu_image_populates_and_serves(tmp_path: Path) -> None:
    stage = stages(CPU)[-1]
    lay_out(stage, tmp_path)
    shutil.copy2(in_process.host(), tmp_path / "app" / "in_process.so")
    for folder in ("models", "cache"):
        (tmp_path / folder).mkdir()
    variables = environment(stage, tmp_path)
    populated = subprocess.run(
        [sys.executable, "-m", "scripts.populate", REAL, "--weights", "sample"],
        cwd=tmp_path / "app",
        env=variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert populated.returncode == 0, populated.stderr
    assert (tmp_path / "models" / f"{REAL}_net" / "1" / "model.onnx").is_file()
    before = written(tmp_path / "app")
    with running(stage, tmp_path, variables, REAL, *FREE) as process:
        found = read_until(process, r"ready: gRPC (\S+), HTTP :(\d+)")
        with Classifier(found[1], REAL) as client:
            assert client.classify(CAT).top.index == 282
        with urllib.request.urlopen(f"http://127.0.0.1:{found[2]}/v2/health/ready", timeout=10) as answer:
            assert answer.status == 200
        assert psutil.Process(process.pid).children()[0].children() == []  # the backends run inside tritonserver
    assert written(tmp_path / "app") == before  # the image's own files are read-only


def written(folder: Path) -> set[tuple[Path, int]]:
    return {(path, path.stat().st_mtime_ns) for path in folder.rglob("*") if "__pycache__" not in path.parts}


def shared_memory() -> set[Path]:
    return set(Path("/dev/shm").glob("triton_*_shm_region_*"))


def port_of(process: subprocess.Popen[str], said: str) -> int:
    return int(read_until(process, rf"{said} \S+:(\d+)")[1])


@pytest.mark.parametrize(
    ("arguments", "variables", "message"),
    [
        ((REAL, "--profile", "cpu-bf16"), {}, "the profile cpu-bf16 is for the embedded server"),
        ((REAL, "--profile", "t4-fp16"), {}, "trtexec isn't on this machine"),
        (("EfficientNetB7",), {}, "has no model 'EfficientNetB7'"),
        ((REAL,), {"TRITONCLAS_TRITONSERVER": "/nowhere/tritonserver"}, "isn't a program; name NVIDIA's tritonserver"),
        ((REAL, "--admin-key", "/nowhere/admin.key"), {}, "/nowhere/admin.key can't be read"),
    ],
    ids=["bfloat16", "plans", "model", "program", "key"],
)
def test_what_cant_be_served_is_said_before_tritonserver_starts(
    repository: Path, arguments: tuple[str, ...], variables: dict[str, str], message: str
) -> None:
    here = {
        "TRITONCLAS_REPOSITORY": str(repository),
        "TRITONCLAS_TRITONSERVER": str(preflight.tritonserver() / "bin" / "tritonserver"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "scripts.serve", *arguments],
        cwd=ROOT,
        env=os.environ | here | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n"), done.stdout) == (1, 1, "")
    assert message in done.stderr
