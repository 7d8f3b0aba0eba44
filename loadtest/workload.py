"""What a load test's users send."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Literal

#: `encoded` files go to the ensemble, `pixels` (crops) to the network; `-shm` means through shared memory.
Input = Literal["encoded", "pixels", "encoded-shm", "pixels-shm"]
INPUTS: tuple[Input, ...] = ("encoded", "pixels", "encoded-shm", "pixels-shm")

#: Seconds that a request may take before it counts as failed, unless the user says otherwise.
DEFAULT_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Workload:
    """Batches of encoded pictures for one model of the server at `url` (HOST:PORT)."""

    url: str
    model: str
    batch_size: int
    pictures: tuple[bytes, ...] = field(repr=False)
    input: Input = "encoded"
    timeout_s: float = DEFAULT_TIMEOUT_S

    @property
    def title(self) -> str:
        """What Locust calls the requests."""
        return f"{self.model} batch {self.batch_size}"

    def batches(self, first: int = 0) -> Iterator[tuple[bytes, ...]]:
        """Batches without end, the pictures taken in turn from the `first` on."""
        stream = islice(cycle(self.pictures), first % len(self.pictures), None)
        while True:
            yield tuple(islice(stream, self.batch_size))
