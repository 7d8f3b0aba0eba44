"""The tritonserver of NVIDIA's image, which serves once all is in order."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import click

from scripts import supervise
from scripts.engines import check_plans
from scripts.errors import ScriptError
from scripts.profiles import OPENVINO, PLANS
from scripts.tritonserver import Serving

#: Names it; without, the embedded server is used.
VARIABLE = "TRITONCLAS_TRITONSERVER"


def program() -> Path | None:
    """The tritonserver that the environment names, if any; ScriptError if it isn't a program."""
    named = os.environ.get(VARIABLE)
    if not named:
        return None
    path = Path(named)
    if not (path.is_file() and os.access(path, os.X_OK)):
        raise ScriptError(f"{VARIABLE} is {named}, which isn't a program; name NVIDIA's tritonserver, or unset it")
    return path


def check_profile(models: Sequence[str], repository: Path, profile: str) -> None:
    """ScriptError or exit status 1, saying why, unless this machine can run the profile.

    Plans must fit the GPUs and the TensorRT that are here, as `engines --check` has it.
    """
    if profile == OPENVINO.name:
        raise ScriptError(
            f"the profile {profile} is for the embedded server; serve it there, or leave --profile out here"
        )
    for plan in PLANS:
        if plan.name == profile:
            check_plans(models, plan, repository)


def serve(tritonserver: Path, serving: Serving) -> None:
    """Start it, and stay until the end, as `supervise.wait_for_end`. Its backends are NVIDIA's, beside it."""
    backends = tritonserver.parents[1] / "backends"
    click.echo(f"{tritonserver} starts; ready once http://127.0.0.1:{serving.ports.http}/v2/health/ready says so")
    supervise.run(serving.command(tritonserver, backends), serving.exit_timeout_s)
