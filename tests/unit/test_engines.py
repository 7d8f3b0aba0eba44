"""Building plans, with programs of the tests' own in place of trtexec and nvidia-smi: no GPU is at hand.

They print what the real ones print and do what the command line says, so what is seen here is which command is run,
what becomes of its files, and what is built again. That TensorRT accepts the command isn't seen here.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner, Result
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts import engines, serve
from scripts.profiles import PLANS
from scripts.render import config_path, render, write
from scripts.tensorrt import trtexec
from scripts.tensorrt.plans import Record
from tests.triton.commands import ROOT, interrupt, started, wait_for
from tritonclas import zoo
from tritonclas.served import Served

B0 = zoo.find("EfficientNetB0")
OWN = Served(name="my_flowers", crop=96, resize_short=110, interpolation="linear", max_batch_size=4, classes=5)
T4 = "0, GPU-aa11, Tesla T4"
V100 = "1, GPU-bb22, Tesla V100-SXM2-16GB"

TRTEXEC = """#!/bin/sh
echo "&&&& RUNNING TensorRT.trtexec [TensorRT v{version}] [b26] # trtexec $*"
case "$1" in --help) exit 0;; esac
echo "$CUDA_VISIBLE_DEVICES $*" >> {calls}
for word; do case "$word" in
  --saveEngine=*) plan=${{word#*=}};;
  --onnx=*) onnx=${{word#*=}};;
esac; done
{build}
"""
BUILD = '{ echo "plan $(wc -l < CALLS) of"; cat "$onnx"; } > "$plan"'


@dataclass
class Box:
    """A machine with GPUs, TensorRT, and a repository of two models."""

    root: Path

    @property
    def repository(self) -> Path:
        """EfficientNetB0 and a model of the user's own."""
        return self.root / "models"

    @property
    def calls(self) -> list[str]:
        """What trtexec was called with, the GPU first."""
        return self._calls.read_text().splitlines() if self._calls.exists() else []

    @property
    def _calls(self) -> Path:
        return self.root / "calls"

    def install(self, *gpus: str, version: str = "100400", build: str = BUILD, smi: str = "") -> None:
        """Put the two programs there."""
        build = build.replace("CALLS", str(self._calls))
        self._program("trtexec", TRTEXEC.format(version=version, calls=self._calls, build=build))
        listing = "\n".join(gpus)
        self._program("nvidia-smi", smi or f"#!/bin/sh\ncat <<'END'\n{listing}\nEND\n")

    def _program(self, name: str, text: str) -> None:
        path = self.root / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def version(self, name: str = B0.name) -> Path:
        """The model's version folder."""
        return self.repository / f"{name}_net" / "1"

    def plan(self, name: str = B0.name, profile: str = "t4-fp16") -> Path:
        """Where a plan belongs."""
        return self.version(name) / f"{profile}.plan"

    def files(self, name: str = B0.name) -> set[str]:
        """All in the network's folder but configurations and the lock."""
        found = self.version(name).parent.rglob("*")
        return {path.name for path in found if path.is_file() and path.suffix not in (".pbtxt", ".lock")} - {".lock"}

    def engines(self, *arguments: str, names: tuple[str, ...] = (B0.name,), profile: str = "t4-fp16") -> Result:
        """Run the command."""
        words = [*names, "--profile", profile, "--repository", str(self.repository), *arguments]
        return CliRunner().invoke(engines.main, words)


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Box:
    """A machine with one T4 and the image's TensorRT."""
    machine = Box(tmp_path)
    machine.install(T4)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    write(render([B0, OWN]), machine.repository)
    for model in (B0, OWN):
        machine.version(model.name).mkdir()
        (machine.version(model.name) / "model.onnx").write_text(f"onnx of {model.name}\n")
    return machine


def ok(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.output


def failed(result: Result) -> str:
    assert result.exit_code == 1, result.output
    assert result.output.startswith("Error: ")
    return result.output


def test_a_plan_is_built_and_recorded(box: Box) -> None:
    output = ok(box.engines())
    assert "EfficientNetB0: there is no t4-fp16.plan" in output
    assert "EfficientNetB0: built t4-fp16.plan for Tesla T4 in" in output
    assert box.plan().read_text() == "plan 1 of\nonnx of EfficientNetB0\n"
    assert box.files() == {"model.onnx", "t4-fp16.plan", "t4-fp16.plan.json"}
    record = Record.read(box.plan())
    assert record is not None
    assert (record.gpu, record.tensorrt) == ("Tesla T4", "10.4.0")
    assert record.onnx.is_of(box.version() / "model.onnx")


def test_the_command_line(box: Box) -> None:
    """Option by option, as `trtexec --help` of TensorRT 10 has them."""
    output = ok(box.engines("--workspace-mib", "512"))
    (call,) = box.calls
    gpu, *words = call.split()
    assert gpu == "GPU-aa11"
    folder = str(box.version().parent)
    assert words[0] == f"--onnx={box.version() / 'model.onnx'}"
    assert words[1].startswith(f"--saveEngine={folder}/.engines-")
    assert words[2:] == [
        "--minShapes=pixels:1x224x224x3",
        "--optShapes=pixels:8x224x224x3",
        "--maxShapes=pixels:32x224x224x3",
        "--fp16",
        "--memPoolSize=workspace:512",
        f"--timingCacheFile={box.root}/cache/tritonclas/tensorrt/Tesla-T4-10.4.0.timing",
        "--skipInference",
    ]
    assert f"CUDA_VISIBLE_DEVICES=GPU-aa11 {box.root}/bin/trtexec {' '.join(words)}\n" in output


@pytest.mark.parametrize("profile", PLANS, ids=lambda profile: profile.name)
def test_precision(box: Box, profile) -> None:
    box.install(T4, V100)
    ok(box.engines(profile=profile.name))
    (call,) = box.calls
    assert ("--fp16" in call.split()) is (profile.precision == "fp16")
    assert ("--noTF32" in call.split()) is (profile.precision == "fp32")
    assert call.startswith("GPU-aa11" if profile.gpu == "T4" else "GPU-bb22")


def test_the_configuration_in_the_repository_says_the_sizes(box: Box) -> None:
    path = box.repository / config_path(B0.network_name, PLANS[0])
    path.write_text(path.read_text().replace("max_batch_size: 32", "max_batch_size: 4"))
    ok(box.engines())
    assert "--optShapes=pixels:4x224x224x3 --maxShapes=pixels:4x224x224x3" in box.calls[0]


def test_a_model_that_isnt_in_the_zoo(box: Box) -> None:
    ok(box.engines(names=(OWN.name,)))
    assert "--maxShapes=pixels:4x96x96x3" in box.calls[0]
    assert box.plan(OWN.name).exists()


def test_an_onnx_model_in_several_files(box: Box) -> None:
    folder = box.version() / "model.onnx"
    folder.unlink()
    folder.mkdir()
    (folder / "model.onnx").write_text("graph\n")
    ok(box.engines())
    assert f"--onnx={folder}/model.onnx" in box.calls[0]
    assert "is up to date" in ok(box.engines())


def test_every_version_is_built(box: Box) -> None:
    for name in ("9", "10", "10.old"):
        (box.version().parent / name).mkdir()
        (box.version().parent / name / "model.onnx").write_text(name)
    ok(box.engines())
    built = {path.parent.name for path in box.version().parent.glob("*/t4-fp16.plan")}
    assert built == {box.version().name, "9", "10"}


def test_what_fits_stays(box: Box) -> None:
    ok(box.engines())
    assert ok(box.engines()) == "EfficientNetB0: t4-fp16.plan is up to date\n"
    assert len(box.calls) == 1


def test_only_what_changed_is_built_again(box: Box) -> None:
    both = (B0.name, OWN.name)
    ok(box.engines(names=both))
    (box.version() / "model.onnx").write_text("other weights\n")
    output = ok(box.engines(names=both))
    assert "EfficientNetB0: t4-fp16.plan was built from another model.onnx" in output
    assert "my_flowers: t4-fp16.plan is up to date" in output
    assert box.plan().read_text() == "plan 3 of\nother weights\n"
    assert "is up to date" in ok(box.engines())


@pytest.mark.parametrize("change", ["workspace", "TensorRT", "GPU", "batch", "force"])
def test_every_change_builds_again(box: Box, change: str) -> None:
    ok(box.engines())
    arguments: list[str] = []
    if change == "workspace":
        arguments = ["--workspace-mib", "512"]
    elif change == "TensorRT":
        box.install(T4, version="100300")
    elif change == "GPU":
        box.install("0, GPU-aa11, NVIDIA T4")
    elif change == "force":
        arguments = ["--force"]
    else:
        path = box.repository / config_path(B0.network_name, PLANS[0])
        path.write_text(path.read_text().replace("max_batch_size: 32", "max_batch_size: 16"))
    ok(box.engines(*arguments))
    assert len(box.calls) == 2
    assert "is up to date" in ok(box.engines(*(arguments if change == "workspace" else [])))


def test_profiles_lie_side_by_side(box: Box) -> None:
    box.install(T4, V100)
    for profile in PLANS:
        ok(box.engines(profile=profile.name))
    assert {f"{profile.name}.plan" for profile in PLANS} < box.files()


def test_a_dry_run_needs_neither_gpu_nor_tensorrt(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(box.root / "nowhere"))
    output = ok(box.engines("--dry-run"))
    program, *words = output.split()
    assert program == "/usr/src/tensorrt/bin/trtexec"
    assert words[:2] == [f"--onnx={box.version() / 'model.onnx'}", f"--saveEngine={box.plan()}"]
    assert not any("timingCache" in word for word in words)  # its name has the GPU's in it
    assert output.count("\n") == 1
    assert box.files() == {"model.onnx"}
    assert not (box.root / "cache").exists()


def test_another_gpu_is_refused_with_a_way_out(box: Box) -> None:
    box.install("0, GPU-cc33, NVIDIA A10")
    message = failed(box.engines())
    assert "t4-fp16 is for a T4, and this machine has NVIDIA A10" in message
    assert "gpu and gpu-tensorrt-fp16 run on any GPU" in message
    assert not box.calls


def test_a_hidden_gpu_isnt_used(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    box.install(T4, V100)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert "this machine has Tesla V100-SXM2-16GB" in failed(box.engines())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "CUDA_VISIBLE_DEVICES hides every GPU" in failed(box.engines())


@pytest.mark.parametrize(
    ("smi", "message"),
    [
        ("#!/bin/sh\necho No devices were found; exit 6", "nvidia-smi lists no GPU here (No devices were found)"),
        ("#!/bin/sh\necho what is this", "nvidia-smi lists no GPU here"),
    ],
    ids=["fails", "says something else"],
)
def test_a_machine_without_gpus(box: Box, smi: str, message: str) -> None:
    box.install(smi=smi)
    output = failed(box.engines())
    assert message in output
    assert "docker run --gpus all" in output
    assert output.count("\n") == 1


def test_without_nvidia_smi(box: Box) -> None:
    (box.root / "bin" / "nvidia-smi").unlink()
    assert "nvidia-smi lists no GPU here" in failed(box.engines())


def test_without_trtexec(box: Box) -> None:
    (box.root / "bin" / "trtexec").unlink()
    assert "trtexec isn't on this machine; run this in nvcr.io/nvidia/tritonserver:24.09-py3" in failed(box.engines())
    assert "isn't a program" in failed(box.engines("--trtexec", str(box.root / "calls")))


def test_a_trtexec_of_ones_own(box: Box) -> None:
    own = (box.root / "bin" / "trtexec").rename(box.root / "my-trtexec")
    assert f" {own} --onnx=" in ok(box.engines("--trtexec", str(own)))


@pytest.mark.parametrize(
    ("banner", "version"), [("100400", "10.4.0"), ("101303", "10.13.3"), ("8601", "8.6.1"), ("110001", "11.0.1")]
)
def test_versions(box: Box, banner: str, version: str) -> None:
    box.install(T4, version=banner)
    assert trtexec.tensorrt_version(box.root / "bin" / "trtexec") == version


def test_a_trtexec_that_says_no_version(box: Box) -> None:
    program = box.root / "bin" / "trtexec"
    program.write_text("#!/bin/sh\necho libnvinfer.so.10: cannot open shared object file >&2; exit 127")
    assert "doesn't say which TensorRT it belongs to, but: libnvinfer.so.10" in failed(box.engines())


def test_a_failed_build_says_why_and_leaves_the_old_plan(box: Box) -> None:
    ok(box.engines())
    box.install(T4, build='echo half > "$plan"; echo "[E] Error Code 9: no kernel"; exit 3')
    output = box.engines("--force")
    assert output.exit_code == 1
    assert "trtexec ended with status 3" in output.output
    assert "[E] Error Code 9: no kernel" in output.output
    log = box.root / "cache" / "tritonclas" / "tensorrt" / "EfficientNetB0-t4-fp16.log"
    assert str(log) in output.output
    assert "no kernel" in log.read_text()
    assert box.plan().read_text().startswith("plan 1 of")
    assert box.files() == {"model.onnx", "t4-fp16.plan", "t4-fp16.plan.json"}
    assert "is up to date" in ok(box.engines())


@pytest.mark.parametrize("build", ["true", ': > "$plan"'], ids=["no file", "empty file"])
def test_a_success_without_a_plan_is_a_failure(box: Box, build: str) -> None:
    box.install(T4, build=build)
    result = box.engines()
    assert result.exit_code == 1
    assert "trtexec wrote no plan" in result.output
    assert box.files() == {"model.onnx"}


def test_a_build_that_takes_too_long_is_ended(box: Box) -> None:
    box.install(T4, build="echo $$ > CALLS.pid; exec sleep 60")
    result = box.engines("--timeout", "1")
    assert not psutil.pid_exists(int((box.root / "calls.pid").read_text()))
    assert result.exit_code == 1
    assert "trtexec hadn't finished after 1 s; give it longer with --timeout" in result.output
    assert box.files() == {"model.onnx"}


def test_onnx_that_is_replaced_meanwhile_gets_no_plan(box: Box) -> None:
    box.install(T4, build=BUILD + '; echo "other weights" > "$onnx"')
    result = box.engines()
    assert "was replaced while its plan was being built" in result.output
    assert box.files() == {"model.onnx"}


@pytest.fixture
def building(box: Box) -> Iterator[subprocess.Popen[str]]:
    """The command as a process, in the middle of a build that never ends."""
    box.install(T4, build='echo half > "$plan"; touch CALLS.half; exec sleep 60')
    words = ("-m", "scripts.engines", B0.name, "--profile", "t4-fp16", "--repository", box.repository)
    with started(*words) as process:
        wait_for((box.root / "calls.half").exists)
        yield process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_an_interrupted_build_leaves_nothing(box: Box, building: subprocess.Popen[str], number: signal.Signals) -> None:
    assert interrupt(building, number) > 0  # its own exit status, not the signal's
    assert box.files() == {"model.onnx"}
    assert not list(box.version().parent.glob(".engines-*"))


def test_one_process_at_a_time_and_what_a_killed_one_left(box: Box, building: subprocess.Popen[str]) -> None:
    assert "another process is populating EfficientNetB0" in failed(box.engines())
    building.kill()
    building.wait()
    assert list(box.version().parent.glob(".engines-*"))
    box.install(T4)
    ok(box.engines())
    assert not list(box.version().parent.glob(".engines-*"))


def test_the_record_is_there_before_the_plan(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """At no moment does a plan stand beside a record that it passes for although it isn't its own."""
    ok(box.engines())
    seen = []
    move = Path.replace

    def look(old: Path, new: Path) -> Path:
        moved = move(old, new)
        if new.parent == box.version():
            seen.append((new.name, box.engines("--check").exit_code))
        return moved

    monkeypatch.setattr(Path, "replace", look)
    ok(box.engines("--force"))
    assert seen == [("t4-fp16.plan.json", 1), ("t4-fp16.plan", 0)]


def test_check_is_silent_on_what_fits(box: Box) -> None:
    ok(box.engines("--workspace-mib", "512"))
    assert ok(box.engines("--check")) == ""


def test_check_prints_a_line_for_each_misfit(box: Box) -> None:
    both = (B0.name, OWN.name)
    ok(box.engines(names=both))
    (box.version(OWN.name) / "model.onnx").write_text("other weights")
    box.install(V100, version="100300")
    result = box.engines("--check", names=both)
    assert result.exit_code == 1
    assert [line.split(" ")[0] for line in result.output.splitlines()] == ["EfficientNetB0:"] * 2 + ["my_flowers:"] * 3
    assert len(box.calls) == 2


def test_check_looks_at_every_gpu_that_triton_would_use(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    ok(box.engines())
    box.install(T4, V100)
    assert "there is a Tesla V100-SXM2-16GB here" in box.engines("--check").output
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-aa11")
    assert ok(box.engines("--check")) == ""


@pytest.mark.parametrize("profile", ["gpu", "gpu-tensorrt-fp16", "cpu-bf16"])
def test_profiles_without_plans(box: Box, profile: str) -> None:
    assert "needs no plan" in ok(box.engines("--check", profile=profile))
    assert not box.calls


def test_wrong_names(box: Box) -> None:
    assert "did you mean EfficientNetB0" in failed(box.engines(names=("EfficentNetB0",)))
    unknown = box.engines(profile="t4-fp61")
    assert unknown.exit_code == 2
    assert "did you mean t4-fp16" in unknown.output


def test_a_model_without_weights(box: Box) -> None:
    (box.version() / "model.onnx").unlink()
    assert "run python -m scripts.populate EfficientNetB0" in failed(box.engines())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('backend: "tensorrt"', 'backend: "onnxruntime"', "names no TensorRT plan"),
        ("max_batch_size: 32", "max_batch_size: 0", "max_batch_size of at least 1"),
        ("max_batch_size: 32", "max_batch_size: many", "isn't a model configuration"),
    ],
)
def test_configurations_that_are_of_no_plan(box: Box, old: str, new: str, message: str) -> None:
    path = box.repository / config_path(B0.network_name, PLANS[0])
    path.write_text(path.read_text().replace(old, new))
    assert message in failed(box.engines())


def installed() -> Iterator[tuple[str, set[str]]]:
    """Each distribution, and the modules at the top that it has (Python 3.10's own list has few)."""
    for distribution in metadata.distributions():
        files = [path for path in distribution.files or [] if path.suffix in (".py", ".so")]
        yield canonicalize_name(distribution.name), {path.parts[0].partition(".")[0] for path in files}


def required(name: str, extras: frozenset[str] = frozenset()) -> set[str]:
    """The distributions that pip installs with one, itself included."""
    found = {canonicalize_name(name)}
    for line in metadata.requires(name) or []:
        wanted = Requirement(line)
        if wanted.marker is None or any(wanted.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            found |= required(wanted.name, frozenset(wanted.extras))
    return found


def test_it_runs_with_the_sdks_packages_and_two_more() -> None:
    """In NVIDIA's container nothing else is installed."""
    code = "import sys; there = {*sys.modules}; import scripts.engines; print(*{*sys.modules} - there)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    modules = {name.partition(".")[0] for name in done.stdout.split()}
    used = {owner for owner, owned in installed() if owned & modules}
    assert {"click", "protobuf", "filelock"} < used
    assert used <= required("tritonclas") | {"filelock", "platformdirs"}


def test_a_log_that_cant_be_written_is_named_before_anything_is_started(box: Box) -> None:
    log = box.root / "cache" / "tritonclas" / "tensorrt" / "EfficientNetB0-t4-fp16.log"
    log.mkdir(parents=True)
    result = box.engines()
    assert result.exit_code == 1
    assert f"{log} can't be written (Is a directory)" in result.output.splitlines()[-1]
    assert not box.calls


def test_a_driver_of_branch_470_is_enough(box: Box) -> None:
    fields = ["index", "uuid", "name"]
    smi = f"""#!/bin/sh
[ "$1" = --query-gpu={",".join(fields)} ] && echo "{T4}" && exit
echo 'Field "compute_cap" is not a valid field to query.'; exit 2
"""
    box.install(smi=smi)
    ok(box.engines())


@pytest.fixture
def nvidias(box: Box, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program in the place of NVIDIA's tritonserver, which notes what it is called with, and ends."""
    path = box.root / "tritonserver" / "bin" / "tritonserver"
    path.parent.mkdir(parents=True)
    path.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" > {path.parent}/called\nexit 7\n")
    path.chmod(0o755)
    monkeypatch.setenv("TRITONCLAS_TRITONSERVER", str(path))
    return path


def served(box: Box, *options: str) -> Result:
    ports = ("--grpc-port", "0", "--http-port", "0", "--metrics-port", "0")
    (box.version().parents[1] / B0.name / "1").mkdir(exist_ok=True)
    return CliRunner().invoke(serve.main, [B0.name, "--repository", str(box.repository), *ports, *options])


def test_nvidias_tritonserver_serves_a_plan_that_fits(box: Box, nvidias: Path) -> None:
    ok(box.engines())
    result = served(box, "--profile", "t4-fp16", "--address", "0.0.0.0", "--", "--log-verbose=1")
    assert result.exit_code == 1
    assert "tritonserver ended with status 7; its own log is above" in result.output
    words = nvidias.with_name("called").read_text().splitlines()
    assert f"--backend-directory={nvidias.parents[1] / 'backends'}" in words
    assert f"--model-repository={box.repository}" in words
    for option in (
        "--model-control-mode=explicit",
        f"--load-model={B0.name}",
        "--model-config-name=t4-fp16",
        "--grpc-address=0.0.0.0",
        "--exit-timeout-secs=30",
        "--log-verbose=1",
    ):
        assert option in words


@pytest.mark.parametrize("wrong", ["missing", "another GPU"])
def test_it_doesnt_begin_with_a_plan_that_doesnt(box: Box, nvidias: Path, wrong: str) -> None:
    if wrong == "another GPU":
        ok(box.engines())
        box.install("0, GPU-cc33, NVIDIA L4")
    result = served(box, "--profile", "t4-fp16")
    assert result.exit_code == 1
    assert f"{B0.name}: " in result.output
    assert not nvidias.with_name("called").exists()
