"""What the server's answers become."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

#: How labels of models with random weights begin; `populate` writes them, so that no answer of such a
#: model can be taken for a prediction, whichever client shows it.
SYNTHETIC_LABEL = "synthetic weights: class"


@dataclass(frozen=True, slots=True)
class Label:
    """One class of an answer: its index in the model's output, its probability, and its name ("" if it has none)."""

    index: int
    score: float
    name: str


@dataclass(frozen=True, slots=True)
class Timing:
    """What the request of a picture took, and all that were sent with it, in seconds as this client saw it.

    `prepare_s` went by with reading files and, where the client does that, decoding. `request_s` is the time from the
    first attempt to the answer, pauses included; `attempts` says how many there were.

    Triton's answers don't say what went by in the server. `ModelServer.statistics` does, on average; with
    OpenTelemetry, Triton's own traces do for each request.
    """

    prepare_s: float
    request_s: float
    attempts: int


@dataclass(frozen=True, slots=True, repr=False)
class Classification:
    """The top-k classes of one picture, the most probable first.

    `version` is the model's, `request_id` the one under which the request is known to the server, in its log and
    traces; the pictures of a batch share it. Neither it nor `timing` counts when answers are compared.
    """

    labels: tuple[Label, ...]
    model: str
    version: str
    request_id: str = field(default="", compare=False)
    timing: Timing | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        best = ", ".join(f"{label.name or label.index} {label.score:.3f}" for label in self.labels[:3])
        others = f", … {len(self.labels)} in all" if len(self.labels) > 3 else ""
        return f"<Classification by {self.model} version {self.version}: {best}{others}>"

    @property
    def top(self) -> Label:
        """The most probable class."""
        return self.labels[0]

    @property
    def synthetic(self) -> bool:
        """True if the model has random weights: its speed means something, its answers don't."""
        return self.top.name.startswith(SYNTHETIC_LABEL)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON takes them."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Counters:
    """What a client has done since it was made, with all that share its connection (`with_headers`).

    `requests` were sent, `retries` of them again; `images` were answered, and `rejected` were refused, by the server or
    before they were sent. `failures` are the calls that raised an error, by its name.
    """

    requests: int = 0
    retries: int = 0
    images: int = 0
    rejected: int = 0
    failures: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """A model in the server's repository; `state` is Triton's: READY, LOADING, UNLOADING or UNAVAILABLE."""

    name: str
    version: str
    state: str
    reason: str

    @property
    def ready(self) -> bool:
        """True if the server answers requests for it."""
        return self.state == "READY"


@dataclass(frozen=True, slots=True)
class ModelStatistics:
    """What a model has done since it was loaded: counts, and total times in seconds of its successful requests.

    `success_s` is their time on the server from arrival to answer, which of an ensemble is that of all its steps.
    `batch_sizes` says of each number of images how many executions computed so many at once. An ensemble computes
    nothing itself, and has its requests there, as they came.
    """

    name: str
    version: str
    inferences: int
    executions: int
    successes: int
    failures: int
    success_s: float
    queue_s: float
    compute_input_s: float
    compute_infer_s: float
    compute_output_s: float
    batch_sizes: Mapping[int, int] = field(hash=False)

    @property
    def average_batch_size(self) -> float:
        """Images that were computed at once, on average; 0 before the first."""
        return self.inferences / self.executions if self.executions else 0.0

    @property
    def average_success_s(self) -> float:
        """Seconds from a request's arrival to its answer, on average; 0 before the first."""
        return self._average_s(self.success_s)

    @property
    def average_queue_s(self) -> float:
        """Seconds that a request waited for an instance, on average; 0 before the first."""
        return self._average_s(self.queue_s)

    @property
    def average_compute_s(self) -> float:
        """Seconds that a request took once an instance had it, on average: input, inference and output."""
        return self._average_s(self.compute_input_s + self.compute_infer_s + self.compute_output_s)

    def _average_s(self, total_s: float) -> float:
        return total_s / self.successes if self.successes else 0.0
