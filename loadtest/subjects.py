"""The models of a sweep, looked at before the first cell: there, ready, and large enough for the batches."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from loadtest.errors import LoadTestError
from loadtest.heard import Heard
from loadtest.serverview import Parts, steps_of
from loadtest.workload import Workload
from tritonclas import Classifier, ModelServer, ModelStatus
from tritonclas.served import is_part
from tritonclas.zoo import near_matches

#: Requests with the same picture, to see whether the server computes them.
_REPEATED = 3
_COUNTED_WITHIN_S = 2.0


@dataclass(frozen=True)
class Model:
    """A model that answers, and what it consists of. `synthetic` means random weights.

    `on_gpu` says that an instance group of its network is of KIND_GPU.
    """

    name: str
    max_batch_size: int
    synthetic: bool
    parts: Parts
    on_gpu: bool = False


def check_ready(server: ModelServer, names: Iterable[str]) -> None:
    """LoadTestError, naming what is there instead, unless all models are ready."""
    missing = [name for name in names if not server.ready(name)]
    if missing:
        raise LoadTestError(f"{server.url}: {why_not_ready(missing[0], server.models())}")


def why_not_ready(name: str, known: Sequence[ModelStatus]) -> str:
    """What is wrong with the name of a model, and what could be meant."""
    for status in known:
        if status.name == name:
            return f"{name} is {status.state or 'not loaded'}; load it first {status.reason}".strip()
    ready = [status.name for status in known if status.ready and not is_part(status.name)]
    return f"there is no model {name!r}; {near_matches(name, ready) if ready else 'no model is ready'}"


def examine(server: ModelServer, probe: Workload) -> Model:
    """Classify the workload's first picture and read the model's configuration."""
    with Classifier(
        probe.url, probe.model, timeout_s=probe.timeout_s, tls=probe.tls, headers=probe.headers
    ) as classifier:
        answer = classifier.classify(probe.pictures[0], top_k=1)
        _check_computed(server, classifier, probe)
        parts = parts_of(server, probe.model)
        return Model(
            probe.model, classifier.max_batch_size(), answer.synthetic, parts, _is_on_gpu(server, parts.network)
        )


def _check_computed(server: ModelServer, classifier: Classifier, probe: Workload) -> None:
    """LoadTestError if the server answers a repeated picture out of its response cache."""
    if not server.config(probe.model).get("response_cache", {}).get("enable"):
        return  # it may; whether the server has a cache at all, it doesn't tell
    (before,) = server.statistics(probe.model)
    for _ in range(_REPEATED):
        classifier.classify(probe.pictures[0], top_k=1)
    end_s = time.monotonic() + _COUNTED_WITHIN_S
    while time.monotonic() < end_s:  # Triton counts a request a moment after it has answered it
        (after,) = server.statistics(probe.model)
        if after.successes >= before.successes + _REPEATED:
            break
        time.sleep(0.02)
    if after.executions - before.executions < after.successes - before.successes:
        raise LoadTestError(
            f"{server.url} answers repeated pictures from its response cache, which would be measured; "
            "start it without (--response-cache, --cache-config)"
        )


def _is_on_gpu(server: ModelServer, network: str) -> bool:
    return any(group.get("kind") == "KIND_GPU" for group in server.config(network).get("instance_group", ()))


def check_shared_memory(workloads: Iterable[Workload]) -> None:
    """LoadTestError if a workload for shared memory went over the connection: the SDK, asked for it, only warns."""
    for workload in workloads:
        if not workload.input.endswith("-shm"):
            continue
        with Heard() as heard, workload.classifier() as classifier:
            classifier.probabilities(workload.pictures[:1])
        if heard.warnings:
            raise LoadTestError(f"{heard.warnings[0]}; leave {workload.input} out of --inputs")


def parts_of(server: ModelServer, model: str) -> Parts:
    """What the model consists of; a model that is no ensemble of this project's kind only of itself."""
    steps = steps_of(server, model)
    if len(steps) != 2:
        return Parts(model, model)
    return Parts(model, network=steps[1], preprocessing=steps[0])


def check_batch_sizes(models: Iterable[Model], batch_sizes: Sequence[int]) -> None:
    """LoadTestError if a model can't take the largest batch in one request."""
    for model in models:
        if (largest := max(batch_sizes)) > model.max_batch_size:
            raise LoadTestError(
                f"{model.name} takes at most {model.max_batch_size} images a request; --batch-sizes has {largest}"
            )
