"""Capacity planning as a command: pods for a rate of images, and what runs out first."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from scripts.arguments import zoo_models
from scripts.capacity.page import MEASURED, PUBLISHED, Assumptions, markdown
from scripts.capacity.plan import Basis, Margins, Mode, Picture, Plan, Pod, plan
from scripts.capacity.sources import BENCHMARKS, PICTURES, Costs, measured, published
from scripts.errors import ScriptError
from scripts.files import write_whole
from tritonclas.cli import example
from tritonclas.zoo import MODELS, Model

EPILOG = (
    example("python -m scripts.capacity EfficientNetB0 EfficientNetB4 --images-per-s 5000")
    + "\n  python -m scripts.capacity --results reports/t4-fp16/results.json --json"
)
_MODES: tuple[Mode, ...] = ("server", "client")
_positive = click.FloatRange(0, min_open=True)


@click.command(epilog=EPILOG)
@click.argument("models", nargs=-1, metavar="[NAME...]", callback=zoo_models)
@click.option(
    "--images-per-s",
    "targets",
    type=click.IntRange(1),
    multiple=True,
    default=(1_000, 10_000, 1_000_000),
    show_default=True,
    help="Rate to plan for, at its peak; more than once for several.",
)
@click.option(
    "--results", type=click.Path(path_type=Path), help="results.json of a load test, for published latencies."
)
@click.option("--picture-ms", type=_positive, help="Of a core, to prepare one.  [default: docs/benchmarks.json]")
@click.option("--picture-kb", type=_positive, help="Of its file, 1000 bytes each; with --picture-ms.")
@click.option("--request-ms", type=_positive, help="Of a core, to serve one besides.  [default: docs/benchmarks.json]")
@click.option("--cores", type=_positive, default=4.0, show_default=True, help="A pod's, for its one GPU.")
@click.option("--gbit", type=_positive, default=10.0, show_default=True, help="A pod's network, Gbit/s.")
@click.option(
    "--headroom",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.3,
    show_default=True,
    help="Share of a pod's rate that isn't planned with.",
)
@click.option("--spare", type=click.IntRange(0), default=1, show_default=True, help="Pods that may be away.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the page into this file.")
def main(
    models: Sequence[Model],
    *,
    targets: tuple[int, ...],
    results: Path | None,
    picture_ms: float | None,
    picture_kb: float | None,
    request_ms: float | None,
    as_json: bool,
    out: Path | None,
    **given: Any,
) -> None:
    """Tell how many pods with a GPU it takes to classify so many images a second, and what runs out first.

    For the models of the published table, or those named. Published latencies are of other machines and of the network
    alone; --results takes what a load test measured of a whole server instead.
    """
    pictures, source = costs(picture_ms, picture_kb, request_ms)
    if results:  # whatever was sent there, it was all of one kind
        pictures = [replace(pictures[0], name="the load test's")]
    assumed = Assumptions(
        pictures=pictures,
        pod=Pod(cores=given["cores"], gbit_per_s=given["gbit"]),
        margins=Margins(headroom=given["headroom"], spare=given["spare"]),
        targets=tuple(sorted(set(targets))),
        source=source,
        basis=MEASURED.format(path=results) if results else PUBLISHED,
    )
    plans = [
        plan(basis, mode, picture, assumed.pod, assumed.margins, assumed.targets)
        for mode, basis in bases(models, results)
        for picture in pictures
    ]
    if out:
        write_whole(out, markdown(plans, assumed))
    if as_json:
        click.echo(
            json.dumps({"assumptions": assumptions(assumed), "plans": [as_dict(each) for each in plans]}, indent=2)
        )
    elif not out:
        click.echo(markdown(plans, assumed), nl=False)


def costs(picture_ms: float | None, picture_kb: float | None, request_ms: float | None) -> tuple[list[Picture], str]:
    """What pictures cost, and where that comes from: what is given, else the committed benchmarks."""
    if (picture_ms is None) != (picture_kb is None):
        raise click.UsageError("--picture-ms and --picture-kb are of one picture; give both")
    if picture_ms and picture_kb and request_ms:
        return [_picture("the given", picture_ms, picture_kb * 1000, request_ms)], "given"
    found = Costs.read()
    source = f"[{BENCHMARKS.stem}]({BENCHMARKS.stem}.md): {found.machine}"
    served = request_ms or found.request_ms
    if picture_ms and picture_kb:
        return [_picture("the given", picture_ms, picture_kb * 1000, served)], f"given, or {source}"
    return [_picture(name, found.preparing_ms[name], size, served) for name, size in PICTURES.items()], source


def _picture(name: str, preprocess_ms: float, encoded_bytes: float, request_ms: float) -> Picture:
    return Picture(name=name, preprocess_ms=preprocess_ms, encoded_bytes=round(encoded_bytes), request_ms=request_ms)


def bases(models: Sequence[Model], results: Path | None) -> list[tuple[Mode, Basis]]:
    """What to plan with, and who prepares the pictures; ScriptError if there is nothing."""
    if results:
        return measured_bases(models, results)
    found = published(models or tuple(MODELS.values()))
    if missing := [model.name for model in models if model.name not in {basis.model for basis in found}]:
        raise ScriptError(f"no latency of {missing[0]} was published; measure it, and give the load test's --results")
    return [(mode, basis) for basis in found for mode in _MODES]


def measured_bases(models: Sequence[Model], results: Path) -> list[tuple[Mode, Basis]]:
    """A sweep's, for encoded pictures and, if it has them, for crops."""
    found: list[tuple[Mode, Basis]] = []
    faults = []
    for mode in _MODES:
        try:
            found += [(mode, basis) for basis in measured(results, mode, models)]
        except ScriptError as fault:
            faults.append(fault)
    if not found:
        raise faults[0]
    return found


def assumptions(assumed: Assumptions) -> dict[str, Any]:
    """What the plans are made with, by the names of their units."""
    fields = asdict(assumed)
    return {"pictures": fields["pictures"], **fields["pod"], **fields["margins"], "source": fields["source"]}


def as_dict(each: Plan) -> dict[str, Any]:
    """What a program may want to know."""
    return {
        "model": each.basis.model,
        "place": each.basis.place,
        "preprocess": each.mode,
        "picture": each.picture.name,
        "images_per_s": {str(batch): rate for batch, rate in each.basis.images_per_s.items()},
        "cores": each.cores,
        "client_core_ms": each.demand.client_core_ms,
        "gbit_per_s": each.gbit_per_s,
        "pod_images_per_s": each.images_per_s,
        "bottleneck": each.bottleneck,
        "replicas": {str(target): count for target, count in each.replicas.items()},
    }


if __name__ == "__main__":
    main()
