"""One plan to build or to check: where its files are, and putting a new one in their place."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click
from filelock import FileLock, Timeout
from platformdirs import user_cache_path
from tritonclient.grpc import model_config_pb2 as pb

from scripts.errors import ScriptError
from scripts.files import unwritable
from scripts.model_config import read_config
from scripts.profiles import Plan
from scripts.render import ONNX_FILE, config_path
from scripts.tensorrt import trtexec
from scripts.tensorrt.gpus import Gpu
from scripts.tensorrt.plans import Fingerprint, Record, misfits
from scripts.versions import model_file, onnx_path, versions
from tritonclas.zoo import near_matches

_SCRATCH = ".engines-"
_LOCK = ".lock"  # scripts.populate's: it mustn't replace the ONNX file meanwhile


@dataclass(frozen=True)
class Job:
    """The plan that a model's configuration asks for, and the ONNX model that it is built from."""

    name: str
    profile: Plan
    config: pb.ModelConfig
    onnx: Path
    plan: Path

    @classmethod
    def all_of(cls, name: str, profile: Plan, repository: Path) -> list[Job]:
        """A job for each version; ScriptError if there is no such model, no plan in its configuration, or no ONNX."""
        folder = repository / f"{name}_net"
        path = repository / config_path(folder.name, profile)
        if not path.is_file():
            known = sorted(at.parents[1].name.removesuffix("_net") for at in repository.glob(f"*/configs/{path.name}"))
            raise ScriptError(f"{repository} has no model {name!r} for {profile.name}; {near_matches(name, known)}")
        config = read_config(path)
        if config.backend != "tensorrt" or not config.default_model_filename:
            raise ScriptError(f"{path} names no TensorRT plan; python -m scripts.render writes it anew")
        files = [onnx_path(name, repository, version) for version in versions(name, repository)]
        if not files:
            raise ScriptError(f"{folder} has no {ONNX_FILE} yet; run python -m scripts.populate {name}")
        plan = config.default_model_filename
        return [cls(name, profile, config, onnx, onnx.with_name(plan)) for onnx in files]

    @property
    def needs(self) -> list[str]:
        """trtexec's options without which the plan isn't the profile's."""
        return [*trtexec.shapes(self.config), trtexec.arithmetic(self.profile.precision)]

    def misfits(self, gpus: Sequence[Gpu], tensorrt: str, options: Sequence[str] = ()) -> list[str]:
        """Why the plan that is there can't serve on all of these GPUs; more `options` may be asked of it."""
        return list(misfits(self.plan, self.onnx, gpus, tensorrt, [*self.needs, *options]))

    def build(self, program: Path, options: Sequence[str], gpu: Gpu, tensorrt: str, timeout_s: float) -> None:
        """Build the plan, print how, and put it in place; ScriptError, with nothing changed, if that fails."""
        graph = model_file(self.onnx)
        before = Fingerprint.of(graph)
        with self._scratch() as scratch:
            # How long each kernel took on this GPU: for the next model with the same layers it isn't measured again.
            timing_cache = _cache() / f"{gpu.name.replace(' ', '-')}-{tensorrt}.timing"
            call = self.call(program, options)
            call = replace(call, plan=scratch / self.plan.name, timing_cache=timing_cache, gpu=gpu.uuid)
            click.echo(call)
            call.run(_cache() / f"{self.name}-{self.profile.name}.log", timeout_s, f"building {self.plan.name}")
            if not before.is_of(graph):
                raise ScriptError(f"{self.onnx} was replaced while its plan was being built; build again")
            made = Record(gpu.name, tensorrt, tuple(call.options), before, Fingerprint.of(call.plan))
            # The record comes first and names this one plan: beside any other it is a misfit, at any moment.
            made.write(self.plan)
            call.plan.replace(self.plan)

    def call(self, program: Path, options: Sequence[str]) -> trtexec.Build:
        """The call of trtexec that builds the plan in its place, on the first GPU, with nothing known from before."""
        return trtexec.Build(program, model_file(self.onnx), self.plan, [*self.needs, *options])

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the model: no other process populates it or builds plans of it. ScriptError if one does."""
        folder = self.onnx.parents[1]
        lock = FileLock(folder / _LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            busy = f"another process is populating {self.name} in {folder.parent}, or building a plan of it"
            raise ScriptError(f"{busy}; wait for it to end") from None
        except OSError as error:
            raise unwritable(folder, error) from error
        try:
            yield
        finally:
            lock.release()

    @contextlib.contextmanager
    def _scratch(self) -> Iterator[Path]:
        """A folder on the plan's file system, where Triton doesn't look; what a killed run left there goes first."""
        folder = self.onnx.parents[1]
        try:
            for left in folder.glob(f"{_SCRATCH}*"):
                shutil.rmtree(left)
            with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=folder) as scratch:
                yield Path(scratch)
        except OSError as error:
            raise unwritable(folder, error) from error


def _cache() -> Path:
    """The user's folder for timing caches and logs."""
    return user_cache_path("tritonclas") / "tensorrt"
