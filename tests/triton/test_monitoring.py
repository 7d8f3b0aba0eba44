"""The real Prometheus watches the real server: its recordings are what the SDK counted, and alerts fire."""

from __future__ import annotations

import re
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path

import pytest
import yaml

from scripts import preflight
from scripts.embedded import EmbeddedServer
from scripts.panels import queries
from tests.prometheus import Prometheus, running, tool
from tests.triton.commands import wait_for
from tests.triton.conftest import REAL
from tritonclas import Classifier, ImageRejected, ModelServer, ModelStatistics, ServerOverloaded

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "deploy" / "prometheus"
PREPROCESS = "preprocess_256_224_cubic"
SUMMARIES = (
    "--metrics-config=summary_latencies=true",
    "--metrics-interval-ms=200",
    "--cache-config=local,size=16777216",
)
#: Prometheus extends a rate to the ends of its window, each counter by up to half the time between two scrapes.
CLOSE = 0.06
GOOD, REPEATED, BAD, AT_ONCE = 20, 8, 12, 320


def configured(folder: Path, server: EmbeddedServer) -> Path:
    """The project's own configuration and rules, but for the targets' ports, and seconds where they have more."""
    config = yaml.safe_load((SOURCE / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "500ms", "evaluation_interval": "1s"}
    (job,) = config["scrape_configs"]
    job["static_configs"] = [{"targets": [f"127.0.0.1:{server.ports.metrics}"]}]
    (folder / "rules").mkdir()
    for path in (SOURCE / "rules").glob("*.yml"):
        text = re.sub(r"(?m)^(\s+)(for|interval): .*$", r"\1\2: 1s", path.read_text())
        (folder / "rules" / path.name).write_text(text)
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    return folder / "prometheus.yml"


@dataclass
class Watched:
    """A server, the Prometheus that watches it, what its client saw, and what the statistics grew by."""

    server: EmbeddedServer
    prometheus: Prometheus
    seen: Counter[str]
    grown: dict[str, Counter[str]]

    def a_minute(self, query: str) -> float:
        """How much there was, out of a rate per second over the last minute."""
        return 60 * self.prometheus.value(query)


_NUMBERS = count()


def unlike_any(picture: bytes) -> bytes:
    """The same picture in other bytes, which the response cache doesn't know."""
    return picture + f"{next(_NUMBERS)}".encode()


def loaded(url: str, picture: bytes) -> Counter[str]:
    """Good pictures, repeated ones, bad ones, and more at once than the queue takes; what became of them."""
    seen: Counter[str] = Counter()

    def ask(data: bytes) -> str:
        try:
            client.classify(data)
        except ImageRejected:
            return "picture"
        except ServerOverloaded:
            return "refused"
        return "answered"

    with Classifier(url, REAL, timeout_s=60) as client, ThreadPoolExecutor(AT_ONCE) as pool:
        seen.update(ask(unlike_any(picture)) for _ in range(GOOD))
        seen.update(ask(picture) for _ in range(1 + REPEATED))
        seen.update(ask(unlike_any(picture[:3000])) for _ in range(BAD))
        seen.update(pool.map(ask, [unlike_any(picture) for _ in range(AT_ONCE)]))
    return seen


def counters(server: EmbeddedServer) -> dict[str, Counter[str]]:
    with ModelServer(server.url) as client:
        return {each.name: numbers(each) for each in client.statistics()}


def numbers(each: ModelStatistics) -> Counter[str]:
    return Counter({name: value for name, value in asdict(each).items() if isinstance(value, int | float)})


@pytest.fixture(scope="module")
def watched(repository: Path, examples: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    tool("prometheus")
    folder = tmp_path_factory.mktemp("prometheus")
    with (
        EmbeddedServer([REAL], repository, options=SUMMARIES) as server,
        running(configured(folder, server), folder) as prometheus,
    ):
        wait_for(lambda: prometheus.ask("instance_model:tritonclas_requests_answered:rate1m"))
        before = counters(server)
        seen = loaded(server.url, examples["cat"].read_bytes())
        grown = {name: after - before[name] for name, after in counters(server).items()}
        wait_for(lambda: prometheus.value(f'nv_inference_request_success{{model="{REAL}"}}') == seen["answered"])
        scraped_s = prometheus.value("vector(time())")
        for last in ("job:tritonclas_errors:share1h", "instance_model:tritonclas_cache_hits:share5m"):  # of two groups
            wait_for(lambda last=last: prometheus.ask(f"timestamp({last}) > {scraped_s}"))
        wait_for(lambda: "TritonclasRefuses" in prometheus.firing())
        yield Watched(server, prometheus, seen, grown)


def test_the_load_was_what_it_should_be(watched: Watched) -> None:
    assert watched.seen["picture"] == BAD
    assert watched.seen["refused"] > 20
    assert watched.seen.total() == GOOD + 1 + REPEATED + BAD + AT_ONCE


def test_requests_and_failures_are_those_that_the_client_counted(watched: Watched) -> None:
    """If Triton counts an ensemble's failures once some day, or gives full queues a reason, this fails."""
    asked = {
        "answered": f'instance_model:tritonclas_requests_answered:rate1m{{model="{REAL}"}}',
        "picture": 'instance:tritonclas_failures:rate1m{cause="picture"}',
        "refused": 'instance:tritonclas_failures:rate1m{cause="refused"}',
    }
    recorded = {name: watched.a_minute(query) for name, query in asked.items()}
    assert recorded == pytest.approx(watched.seen, rel=0.3)  # of a few seconds, whose ends Prometheus extends
    assert recorded["refused"] / recorded["answered"] == pytest.approx(
        watched.seen["refused"] / watched.seen["answered"], rel=CLOSE
    )
    assert recorded["picture"] / recorded["answered"] == pytest.approx(BAD / watched.seen["answered"], rel=CLOSE)
    others = watched.prometheus.ask('instance:tritonclas_failures:rate1m{cause=~"network|timeout|cancelled"}')
    assert [value for _, value in others] == [0, 0, 0]
    share = watched.prometheus.value("job:tritonclas_errors:rate1m / job:tritonclas_requests:rate1m")
    assert share == pytest.approx(watched.seen["refused"] / watched.seen.total(), rel=CLOSE)


@pytest.mark.parametrize("model", [REAL, f"{REAL}_net", PREPROCESS])
def test_means_are_those_of_the_statistics(watched: Watched, model: str) -> None:
    steps = {"total": "success_s", "queue": "queue_s", "infer": "compute_infer_s"}
    for step, name in steps.items():
        mean = watched.prometheus.value(f'instance_model:tritonclas_seconds:mean1m{{model="{model}", step="{step}"}}')
        expected = watched.grown[model][name] / watched.grown[model]["successes"]
        assert mean == pytest.approx(expected, rel=CLOSE, abs=1e-6)


def test_the_batch_size_is_that_of_the_statistics(watched: Watched) -> None:
    mean = watched.prometheus.value(f'instance_model:tritonclas_images_per_execution:mean1m{{model="{REAL}_net"}}')
    network = watched.grown[f"{REAL}_net"]
    assert mean == pytest.approx(network["inferences"] / network["executions"], rel=CLOSE)


def test_cache_hits_are_those_of_the_repeated_pictures(watched: Watched) -> None:
    share = watched.prometheus.value(f'instance_model:tritonclas_cache_hits:share5m{{model="{REAL}"}}')
    assert share == pytest.approx(REPEATED / watched.seen["answered"], rel=CLOSE)


def test_the_metrics_that_rules_and_panels_ask_for_are_those_of_the_server(watched: Watched) -> None:
    url = f"http://127.0.0.1:{watched.server.ports.metrics}/metrics"
    with urllib.request.urlopen(url, timeout=10) as answer:
        served = set(re.findall(r"(?m)^(nv_\w+)", answer.read().decode()))
    rules = " ".join(path.read_text() for path in (SOURCE / "rules").glob("*.yml"))
    asked = set(re.findall(r"\bnv_\w+", rules + " ".join(query for _, query in queries())))
    on_gpus = {name for name in asked if name.startswith("nv_gpu_")}
    assert asked - on_gpus <= served
    (library,) = preflight.shared_libraries().glob("libtritonserver*.so")
    content = library.read_bytes()  # it serves these only where there is a GPU
    assert on_gpus
    assert all(name.encode()[:16] in content for name in on_gpus)  # compiled, a name is in pieces of 16 bytes


QUERIES = {f"{title} {at}": query for at, (title, query) in enumerate(queries())}


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_a_panels_query_finds_data(watched: Watched, query: str) -> None:
    """Those on GPUs are understood, and find none here."""
    found = watched.prometheus.ask(query.replace("$instance", ".*").replace("$model", ".*"))
    assert bool(found) is ("gpu" not in query)


def test_alerts_fire_where_something_is_wrong_and_only_there(watched: Watched) -> None:
    """The last test, because it takes the server away."""
    prometheus = watched.prometheus
    assert "TritonclasRefuses" in prometheus.firing()
    unwell = {"TritonclasDown", "TritonclasStuck", "TritonclasModelNotReady", "TritonclasNetworkFails"}
    assert not unwell & prometheus.firing()
    with ModelServer(watched.server.url) as client:
        client.unload(REAL)
    wait_for(lambda: unwell & prometheus.firing() == {"TritonclasModelNotReady"})
    watched.server.stop()
    assert watched.server.process.returncode == 0  # Prometheus's connection didn't hold it
    wait_for(lambda: "TritonclasDown" in prometheus.firing())
