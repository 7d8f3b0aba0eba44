"""The load test as a command: every model with every input at every batch size under every load."""

from __future__ import annotations

import platform
import signal
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from loadtest import planfile, report
from loadtest.arguments import SweepCommand
from loadtest.device import device_at, is_loopback
from loadtest.errors import LoadTestError
from loadtest.fleet import Fleet
from loadtest.hardware import Gauging, gpus_here, metrics_url
from loadtest.load import Load
from loadtest.material import Material
from loadtest.options import Options, sweep_options
from loadtest.plan import Planned, Templates, plan
from loadtest.progress import progress_bar
from loadtest.results import FILE, Header, Results, write_whole
from loadtest.run import EXPECTED_PROBES, Sweep
from loadtest.serverview import ServerView
from loadtest.subjects import Model, check_batch_sizes, check_ready, check_shared_memory, examine
from tritonclas import ModelServer
from tritonclas._connection import identity_options
from tritonclas.cli import example

#: Seconds that questions about the server itself may take.
_QUESTION_TIMEOUT_S = 10.0

#: The table is printed at least this wide in characters; a narrower terminal wraps it, and loses nothing.
_WIDTH = 190

EPILOG = example(
    "python -m loadtest.sweep --url localhost:8001 --models EfficientNetB0 EfficientNetB4 --out results/laptop"
)


@click.command(cls=SweepCommand, epilog=EPILOG)
@sweep_options
@identity_options
def main(**values: Any) -> None:
    """Measure throughput and latency of served models, end to end from here.

    Options that take lists take several words or commas. Exit status 1 if a cell had failures only.
    After Ctrl-C or SIGTERM what was measured is kept, and --resume goes on with the rest.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    options = Options(**values)
    with ModelServer(options.url, timeout_s=_QUESTION_TIMEOUT_S, tls=options.tls, headers=options.headers) as server:
        version = server.version()
        check_ready(server, options.models)
        material = Material(server, options)
        models = [examine(server, material.probe(name)) for name in options.models]
        check_batch_sizes(models, options.batch_sizes)
        check_writable(options.out)
        gauging = Gauging(options.metrics_url or metrics_url(options.url))
        if options.metrics_url:
            gauging.check()
        templates = material.templates(models)
        check_shared_memory(templates.values())
        header = header_of(options, version, material, models)
        results = kept(options, header) if options.resume else Results(header)
        asked = click.get_current_context().params | {"users": options.closed_users}
        plan_text = planfile.text(main, asked, options.out, resumed=bool(results.cells))
        if not options.resume:
            (options.out / FILE).unlink(missing_ok=True)  # else a resumed sweep would take it for its own
        write_whole(options.out / planfile.FILE, plan_text)
        measure_all(options, models, templates, results, ServerView(server), gauging)


def measure_all(  # noqa: PLR0917
    options: Options,
    models: Sequence[Model],
    templates: Templates,
    results: Results,
    server: ServerView,
    gauging: Gauging,
) -> None:
    """Measure what isn't among the results; LoadTestError if a cell had failures only."""
    known = {cell.key for cell in results.cells}
    planned = plan(models, templates, options.batch_sizes, options.loads)
    left = [each for each in planned if each.key not in known]
    searches = _searches(options, models, templates, results)
    timing = options.timing
    expected_s = timing.expected_s * (len(left) + EXPECTED_PROBES * len(searches))
    with Fleet(options.processes) as fleet, gauging, progress_bar(expected_s) as bar:
        sweep = Sweep(fleet, server, gauging, timing, bar, results, options.out)
        try:
            if known:
                bar.say(f"{len(planned) - len(left)} of {len(planned)} cells are measured already")
            sweep.cells(left)
            for each in searches:
                assert options.slo is not None
                sweep.search(each, options.slo, options.arrivals)
        finally:
            bar.progress.stop()
            if sweep.results.cells:
                report.write(sweep.results, options.out)
                show(sweep.results, options.out)
    failed = [cell.key.title for cell in sweep.results.cells if cell.failed]
    if failed:
        cells = len(sweep.results.cells)
        raise LoadTestError(f"all requests failed in {len(failed)} of {cells} cells: {'; '.join(failed)}")


def _searches(options: Options, models: Iterable[Model], templates: Templates, results: Results) -> list[Planned]:
    """Workloads for which the objective is still to be searched."""
    if options.slo is None:
        return []
    slo, arrivals = options.slo, options.arrivals
    known = {each.key for each in results.objectives}
    planned = plan(models, templates, options.batch_sizes, [Load(users=1)])
    return [
        each
        for each in planned
        if (each.key.model, each.key.batch_size, each.key.input, slo.quantile, slo.limit_ms, arrivals) not in known
    ]


def header_of(options: Options, version: str, material: Material, models: Iterable[Model]) -> Header:
    """The conditions of the sweep."""
    gpus = gpus_here() if is_loopback(options.url) and any(model.on_gpu for model in models) else None
    return Header(
        server_version=version,
        profile=options.profile,
        device=options.device or device_at(options.url),
        client_version=metadata.version("tritonclas"),
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        duration_s=options.duration_s,
        warm_up_s=options.warm_up_s,
        gpu=options.gpu or (gpus[0] if gpus else None),
        driver=gpus[1] if gpus else None,
        pictures=material.description,
        pictures_digest=material.digest,
        generator=generator_of(options.processes),
        url=options.url,
        timeout_s=options.timeout_s,
        max_windows=options.max_windows,
    )


def generator_of(processes: int) -> str:
    """What makes the load, in words."""
    several = f"{processes} process{'es' * (processes > 1)}"
    return f"Locust {metadata.version('locust')} in {several}, Python {platform.python_version()}"


def kept(options: Options, header: Header) -> Results:
    """What the folder has already; LoadTestError if it was measured under other conditions."""
    path = options.out / FILE
    if not path.exists():
        return Results(header)
    found = Results.read(path)
    for name, value in asdict(replace(header, date=found.header.date)).items():
        if value != (other := getattr(found.header, name)):
            raise LoadTestError(
                f"{path} was measured with {name.replace('_', ' ')} {other!r}, this is {value!r}; "
                "give --out another folder, or leave --resume out to replace it"
            )
    return replace(found, cells=tuple(cell for cell in found.cells if not cell.failed))


def check_writable(folder: Path) -> None:
    """Make the folder; LoadTestError unless files can be made in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise LoadTestError(f"{folder} can't be written to ({error.strerror}); give --out another folder") from error


def show(results: Results, out: Path) -> None:
    """Print the table, and where it is kept."""
    console = Console(width=max(_WIDTH, Console().width))
    console.print(report.table(results))
    click.echo(f"\nin {', '.join(str(out / name) for name in (FILE, *report.FILES))}")


if __name__ == "__main__":
    main()
