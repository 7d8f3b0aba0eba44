"""One cell of the matrix: the wheel in an environment of its own, and the SDK's tests there."""

from __future__ import annotations

import json
import re
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from scripts.errors import ScriptError
from scripts.wheel.sdk_tests import ROOT
from scripts.wheel.uv import completed, run, uv

Resolution = Literal["lowest-direct", "highest"]
RESOLUTIONS: tuple[Resolution, ...] = get_args(Resolution)

#: What the SDK's tests need beside it, in the newest versions that go with the cell's.
TOOLS = ("hypothesis", "opentelemetry-sdk", "pytest", "pytest-timeout", "trustme")

#: Run in a fresh interpreter, from its first line on; its own start-up isn't counted.
_IMPORT = "import time; at = time.perf_counter(); from tritonclas import Classifier; print(time.perf_counter() - at)"
_IMPORTS = 5


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a cell. `fault` is empty if all went well; `import_s` is the median of several interpreters'."""

    python: str
    resolution: Resolution
    versions: dict[str, str] = field(default_factory=dict)
    passed: int = 0
    failed: int = 0
    import_s: float | None = None
    fault: str = ""


@dataclass(frozen=True)
class Cell:
    """A Python and how versions are chosen; `folder` is the cell's own, `tests` what all share."""

    version: str
    interpreter: Path
    resolution: Resolution
    folder: Path
    tests: Path

    def outcome(self, wheel: Path) -> Outcome:
        """Install, test, measure; a step that fails is told, not raised."""
        self.folder.mkdir(parents=True)
        try:
            self._install(wheel)
            versions = self._versions()
            passed, failed, fault = self._test()
            import_s = self._import_s()
        except ScriptError as error:
            return Outcome(python=self.version, resolution=self.resolution, fault=error.message)
        return Outcome(
            python=self.version,
            resolution=self.resolution,
            versions=versions,
            passed=passed,
            failed=failed,
            import_s=import_s,
            fault=fault,
        )

    @property
    def _python(self) -> str:
        return str(self.folder / "venv" / "bin" / "python")

    def _install(self, wheel: Path) -> None:
        """The wheel with versions that are fixed beforehand, so that the test tools can't change them."""
        pins = str(self.folder / "pins.txt")
        binary = ("--quiet", "--only-binary", ":all:")
        chosen = ("--resolution", self.resolution, "--python", str(self.interpreter))
        uv("pip", "compile", *binary, *chosen, "--all-extras", "--output-file", pins, "pyproject.toml", folder=ROOT)
        uv("venv", "--quiet", "--python", str(self.interpreter), str(self.folder / "venv"))
        uv("pip", "install", *binary, "--python", self._python, "--requirements", pins, str(wheel))
        uv("pip", "install", *binary, "--python", self._python, "--constraints", pins, *TOOLS)

    def _versions(self) -> dict[str, str]:
        listed = json.loads(uv("pip", "list", "--quiet", "--python", self._python, "--format", "json"))
        return {package["name"]: package["version"] for package in listed}

    def _test(self) -> tuple[int, int, str]:
        """How many passed, how many didn't, and pytest's last lines if it complains."""
        # An old release's warnings on a newer Python aren't the SDK's to mend; the newest's may be.
        warnings = ("-W", "default") if self.resolution == "lowest-direct" else ()
        done = completed([self._python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *warnings], self.tests)
        last = done.stdout.strip().splitlines()[-40:]
        counts = {kind: int(count) for count, kind in re.findall(r"(\d+) (passed|failed|error)", "\n".join(last[-1:]))}
        failed = counts.get("failed", 0) + counts.get("error", 0)
        return counts.get("passed", 0), failed, "\n".join([*last, done.stderr]) if done.returncode else ""

    def _import_s(self) -> float:
        return statistics.median(float(run([self._python, "-I", "-c", _IMPORT], self.folder)) for _ in range(_IMPORTS))
