"""What a TensorRT plan was built from and for: a file beside it says so, and tells whether it fits what is there.

A plan runs only on the GPU model and with the TensorRT version that it was built with (TensorRT's documentation,
"Engine Portability"), and it has the weights in itself: after a new ONNX file it would silently answer as the old one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from scripts.files import write_whole
from scripts.profiles import PLANS
from scripts.tensorrt.gpus import Gpu
from scripts.versions import model_file

_CHUNK = 2**22


@dataclass(frozen=True)
class Fingerprint:
    """A file's content; size and time tell cheaply that it is still the same."""

    bytes: int
    mtime_ns: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> Fingerprint:
        """The file's, which is read whole."""
        status = path.stat()
        return cls(status.st_size, status.st_mtime_ns, _sha256(path))

    def is_of(self, path: Path) -> bool:
        """Whether the file has this content.

        It is read only if it has another time, as in a repository that was copied without times: hashing a plan
        and an ONNX file of a GB each would take seconds at every start of a server.
        """
        if not path.is_file() or (status := path.stat()).st_size != self.bytes:
            return False
        return status.st_mtime_ns == self.mtime_ns or _sha256(path) == self.sha256


@dataclass(frozen=True)
class Record:
    """What is written beside a plan: what it was built with, from which ONNX file, and which plan that is.

    Of an ONNX model in several files it is the one with the graph: it names its file of weights, whose name is
    the hash of its content (`scripts.onnx_file`), and so stands for the weights as well.
    """

    gpu: str
    tensorrt: str
    options: tuple[str, ...]
    onnx: Fingerprint
    plan: Fingerprint

    @classmethod
    def read(cls, plan: Path) -> Record | None:
        """What stands beside a plan; None if nothing does, or nothing that can be read."""
        try:
            fields = json.loads(record_path(plan).read_text(encoding="utf-8"))
            onnx, itself = Fingerprint(**fields.pop("onnx")), Fingerprint(**fields.pop("plan"))
            return cls(**(fields | {"options": tuple(fields["options"])}), onnx=onnx, plan=itself)
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return None

    def write(self, plan: Path) -> None:
        """Put it beside the plan; ScriptError if it can't be written."""
        write_whole(record_path(plan), json.dumps(asdict(self), indent=2) + "\n")


def record_path(plan: Path) -> Path:
    """Where a plan's record is."""
    return plan.with_name(f"{plan.name}.json")


def misfits(plan: Path, onnx: Path, gpus: Sequence[Gpu], tensorrt: str, options: Sequence[str]) -> Iterator[str]:
    """Why a plan can't serve this ONNX model on all of these GPUs with this TensorRT; nothing if it can.

    `options` are those of trtexec's that it must have been built with, whatever others there were.
    """
    if not plan.is_file():
        yield f"there is no {plan.name}"
        return
    record = Record.read(plan)
    if record is None:
        yield f"nobody knows what {plan.name} was built from and for: {record_path(plan).name} is missing or damaged"
        return
    if not record.plan.is_of(plan):
        yield f"{plan.name} isn't the plan that {record_path(plan).name} describes"
    for model in sorted({gpu.name for gpu in gpus} - {record.gpu}):
        yield f"{plan.name} was built on a {record.gpu}; there is a {model} here"
    if record.tensorrt != tensorrt:
        yield f"{plan.name} was built by TensorRT {record.tensorrt}; TensorRT is {tensorrt} here"
    if not record.onnx.is_of(model_file(onnx)):
        yield f"{plan.name} was built from another {onnx.name} than the one that is there now"
    if missing := [option for option in options if option not in record.options]:
        yield f"{plan.name} was built without {' '.join(missing)}"


def stale_plans(version: Path, onnx: Path) -> list[Path]:
    """The profiles' plans in a version folder that weren't built from this ONNX model, for all that is known."""
    plans = [version / profile.plan for profile in PLANS if (version / profile.plan).is_file()]
    graph = model_file(onnx)
    return [plan for plan in plans if (record := Record.read(plan)) is None or not record.onnx.is_of(graph)]


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
