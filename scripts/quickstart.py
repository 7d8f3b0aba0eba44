"""The main job, end to end: populate, serve, classify, load-test, report."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click

from scripts import preflight
from scripts.console import progress_console
from scripts.embedded import EmbeddedServer
from scripts.errors import ArchiveError, ScriptError
from scripts.photographs import EXAMPLES
from scripts.pipeline import Populated, populate, reused
from scripts.populate import describe
from scripts.processes import termination_as_interrupt
from scripts.provenance import Origin
from scripts.render import REPOSITORY
from scripts.versions import model_file, onnx_path
from tritonclas import Classification, Classifier, zoo
from tritonclas._tables import plain_console
from tritonclas.cli import example, show_top_k

SAMPLE = "EfficientNetLite0"
FIRST_OF_THE_ZOO = "EfficientNetB0"
REPORT = Path("reports", "quickstart")

console = plain_console()


def populate_sample(repository: Path) -> Populated:
    """The model whose real weights come from the package index."""
    with progress_console.status(f"{SAMPLE}: exporting its real weights"):
        return populate(zoo.find(SAMPLE), "sample", repository)


def populate_first(repository: Path) -> Populated:
    """A model of the published table: as it is if it is there, else with the official weights if they can be had."""
    model = zoo.find(FIRST_OF_THE_ZOO)
    published = onnx_path(model.name, repository)
    if there := Origin.read(model_file(published)):
        return reused(there, published)
    with progress_console.status(f"{model.name}: trying the official weights"):
        try:
            return populate(model, "official", repository)
        except ArchiveError as error:
            console.print(f"{model.name}: no official weights ({error.message})", style="yellow")
    with progress_console.status(f"{model.name}: exporting synthetic weights instead"):
        return populate(model, "synthetic", repository)


def classify_examples(url: str, model: str) -> None:
    """Each example picture's top 5, through the ensemble."""
    with Classifier(url, model) as classifier:
        pictures = sorted(EXAMPLES.glob("*.jpg"))
        for picture, result in zip(pictures, classifier.classify_many(pictures), strict=True):
            assert isinstance(result, Classification)
            show_top_k(console, picture.name, result)
            console.print()


def load_test(url: str, models: list[str], duration_s: float, report: Path) -> None:
    """A short sweep, in a process of its own because Locust patches the standard library."""
    windows = ("--warm-up", "1", "--duration", str(duration_s / 3), "--max-windows", "3")
    command = [sys.executable, "-m", "loadtest.sweep", "--url", url, "--models", *models, "--out", str(report)]
    done = subprocess.run(
        [*command, *("--batch-sizes", "1,4,8", "--users", "1"), *windows],
        check=False,
        env=os.environ | {"COLUMNS": str(max(console.width, 110))},
    )
    if done.returncode != 0:
        raise ScriptError("the load test failed; its own message is above")


def headline(number: int, text: str) -> None:
    """Where we are."""
    console.rule(f"{number}/4  {text}", align="left", style="bold")


@click.command(epilog=example("python -m scripts.quickstart"))
@click.option("--repository", type=click.Path(path_type=Path, file_okay=False), default=REPOSITORY, show_default=True)
@click.option("--duration", "duration_s", default=4.0, show_default=True, help="Seconds of each load test cell.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=REPORT, show_default=True)
def main(repository: Path, duration_s: float, out: Path) -> None:
    """Populate two models, serve them with the embedded Triton, classify example pictures, load-test, report."""
    with termination_as_interrupt():
        preflight.check()
        headline(1, "Populate the model repository")
        models = [SAMPLE, FIRST_OF_THE_ZOO]
        for make in (populate_sample, populate_first):
            console.print(describe(make(repository)))
        headline(2, "Start Triton on free loopback ports")
        with EmbeddedServer(models, repository) as server:
            console.print(f"ready: gRPC {server.url}, metrics http://127.0.0.1:{server.ports.metrics}/metrics")
            headline(3, "Classify the example pictures through the SDK")
            for name in models:
                classify_examples(server.url, name)
            headline(4, "Load-test with Locust, one user, batch sizes 1, 4 and 8")
            load_test(server.url, models, duration_s, out)
        console.print(f"Server stopped. The report is in {out}/report.html and report.md", style="bold")


if __name__ == "__main__":
    main()
