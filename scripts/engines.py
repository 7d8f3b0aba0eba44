"""TensorRT plans for the profiles that need them: built on the machine that serves them, from the published ONNX."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

import click

from scripts.arguments import repository_option
from scripts.errors import ScriptError
from scripts.processes import termination_as_interrupt
from scripts.profiles import ON_GPU, PLANS, PROFILES, Plan
from scripts.tensorrt import trtexec
from scripts.tensorrt.gpus import Gpu, visible_gpus
from scripts.tensorrt.plan_job import Job
from tritonclas.cli import example
from tritonclas.zoo import near_matches

EPILOG = example("python -m scripts.engines EfficientNetB0 EfficientNetB4 --profile t4-fp16")
_TAKES_NO_PLAN = tuple(profile.name for profile in PROFILES if profile not in PLANS)
_ANY_GPU = tuple(profile.name for profile in ON_GPU if profile not in PLANS)


def plan_profile(context: click.Context, parameter: click.Parameter, name: str) -> Plan | None:
    """Callback: the profile of that name, None if it needs no plan; refuses unknown ones with the nearest."""
    plans = {plan.name: plan for plan in PLANS}
    if name not in (*plans, *_TAKES_NO_PLAN):
        nearest = near_matches(name, [*plans, *_TAKES_NO_PLAN])
        raise click.BadParameter(f"there is no profile {name!r}; {nearest}", context, parameter)
    return plans.get(name)


@click.command(epilog=EPILOG)
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--profile", required=True, callback=plan_profile, metavar="|".join(plan.name for plan in PLANS))
@repository_option
@click.option("--check", is_flag=True, help="Build nothing; exit with 1 unless every plan fits this machine.")
@click.option("--dry-run", is_flag=True, help="Print trtexec's command lines, for the image; needs no GPU.")
@click.option("--force", is_flag=True, help="Build again what fits already.")
@click.option("--trtexec", "given", type=click.Path(path_type=Path), help="TensorRT's trtexec, if not the image's.")
@click.option(
    "--workspace-mib", type=click.IntRange(1), default=2048, show_default=True, help="GPU memory for a layer's work."
)
@click.option(
    "--timeout", "timeout_s", type=click.FloatRange(1), default=3600.0, show_default=True, help="Seconds each."
)
def main(
    names: tuple[str, ...],
    *,
    profile: Plan | None,
    repository: Path,
    check: bool,
    dry_run: bool,
    force: bool,
    given: Path | None,
    workspace_mib: int,
    timeout_s: float,
) -> None:
    """Build the TensorRT plans of a profile on this machine's GPU; those that fit already stay.

    A plan runs on the GPU model and the TensorRT version that it was built with: run this in NVIDIA's container, on
    the machine that serves. Profiles without plans need nothing built, and --check accepts them.
    """
    if profile is None:
        click.echo("this profile needs no plan: the ONNX file is what it reads")
        return
    jobs = _jobs(names, profile, repository)
    options = [trtexec.workspace(workspace_mib)]
    if dry_run:
        show(jobs, options, given or trtexec.IN_IMAGE)
        return
    program = trtexec.find(given)
    tensorrt = trtexec.tensorrt_version(program)
    if check:
        check_all(jobs, tensorrt)
        return
    gpu = gpu_for(profile)
    with termination_as_interrupt():
        for job in jobs:
            build(job, options, gpu, tensorrt, program, force=force, timeout_s=timeout_s)


def _jobs(names: Iterable[str], profile: Plan, repository: Path) -> list[Job]:
    return [job for name in dict.fromkeys(names) for job in Job.all_of(name, profile, repository)]


def show(jobs: list[Job], options: list[str], program: Path) -> None:
    """Print the command lines as they would be in the image, but for the timing cache: it is named after the GPU."""
    for job in jobs:
        click.echo(job.call(program, options))


def check_all(jobs: list[Job], tensorrt: str) -> None:
    """Exit with 1, and a line for each misfit, unless every plan fits all the GPUs that Triton would use."""
    here = visible_gpus()
    found = [f"{job.name}: {why}" for job in jobs for why in job.misfits(here, tensorrt)]
    for line in found:
        click.echo(line, err=True)
    if found:
        raise click.exceptions.Exit(1)


def check_plans(names: Iterable[str], profile: Plan, repository: Path) -> None:
    """`check_all` of these models' plans, with the TensorRT that is here."""
    jobs = _jobs(names, profile, repository)
    check_all(jobs, trtexec.tensorrt_version(trtexec.find(None)))


def gpu_for(profile: Plan) -> Gpu:
    """The first GPU of the profile's kind; ScriptError, naming the profiles for any GPU, if there is none."""
    here = visible_gpus()
    for gpu in here:
        if gpu.is_a(profile.gpu):
            return gpu
    raise ScriptError(
        f"the profile {profile.name} is for a {profile.gpu}, and this machine has {here[0].name}; "
        f"the profiles {' and '.join(_ANY_GPU)} run on any GPU, without a plan"
    )


def build(
    job: Job, options: list[str], gpu: Gpu, tensorrt: str, program: Path, *, force: bool, timeout_s: float
) -> None:
    """Build a plan unless the one that is there fits, and say which."""
    with job.locked():
        reasons = job.misfits([gpu], tensorrt, options)
        if not (reasons or force):
            click.echo(f"{job.name}: {job.plan.name} is up to date")
            return
        for reason in reasons:
            click.echo(f"{job.name}: {reason}")
        start = time.monotonic()
        job.build(program, options, gpu, tensorrt, timeout_s)
        took = time.monotonic() - start
    megabytes = job.plan.stat().st_size / 1e6
    click.echo(f"{job.name}: built {job.plan.name} for {gpu.name} in {took:.0f} s, {megabytes:.1f} MB")


if __name__ == "__main__":
    main()
