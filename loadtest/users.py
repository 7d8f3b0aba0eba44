"""The user that Locust multiplies: sends a batch, waits for the answer, sends the next."""

from __future__ import annotations

from itertools import count
from typing import ClassVar

from locust import User, task

from loadtest.workload import Workload
from tritonclas import Classifier


class ClassifierUser(User):  # type: ignore[misc]  # Locust publishes no types that mypy is told to follow
    """Classifies without a pause (a closed loop). Subclasses say with which `workload`.

    A request is one batch. One that fails is Locust's failure, with the SDK's error.
    """

    abstract = True
    workload: ClassVar[Workload]
    _numbers = count()

    def on_start(self) -> None:
        """Connect; each user begins at other pictures."""
        workload = self.workload
        self.classifier = Classifier(
            workload.url,
            workload.model,
            preprocess="client" if workload.input.startswith("pixels") else "server",
            timeout_s=workload.timeout_s,
            shared_memory=workload.input.endswith("-shm"),
            retries=0,  # a failure is to be counted, not hidden in a longer latency
        )
        self.batches = workload.batches(next(self._numbers) * workload.batch_size)

    @task  # type: ignore[untyped-decorator]
    def classify_batch(self) -> None:
        """Send one batch and take its answer."""
        batch = next(self.batches)
        with self.environment.events.request.measure("gRPC", self.workload.title):
            self.classifier.probabilities(batch)

    def on_stop(self) -> None:
        """Disconnect."""
        self.classifier.close()
