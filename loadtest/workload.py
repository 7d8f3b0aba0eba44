"""What a load test's users send."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tritonclas import Classifier, Tls

#: `encoded` files go to the ensemble, `pixels` (crops) to the network; `-shm` means through shared memory.
Input = Literal["encoded", "pixels", "encoded-shm", "pixels-shm"]
INPUTS: tuple[Input, ...] = ("encoded", "pixels", "encoded-shm", "pixels-shm")

#: Seconds that a request may take before it counts as failed, unless the user says otherwise.
DEFAULT_TIMEOUT_S = 60.0

Image = bytes | NDArray[np.uint8]


class Batch(NamedTuple):
    """The images of one request, and the largest of their size classes."""

    images: tuple[Image, ...]
    size: int


@dataclass(frozen=True)
class Workload:
    """Batches of pictures for one model of the server at `url` (HOST:PORT).

    The pictures are encoded files, or crops uint8 `[crop, crop, 3]` where the input is pixels. `sizes` are the indices
    of their size classes, the larger the larger. `tls` and `headers` are what the server asks for.
    """

    url: str
    model: str
    batch_size: int
    pictures: tuple[Image, ...] = field(repr=False)
    input: Input = "encoded"
    timeout_s: float = DEFAULT_TIMEOUT_S
    sizes: tuple[int, ...] = field(default=(), repr=False)
    tls: Tls | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def title(self) -> str:
        """What Locust calls the requests."""
        return f"{self.model} batch {self.batch_size}"

    def batches(self, first: int = 0) -> Iterator[Batch]:
        """Batches without end, the pictures taken in turn from the `first` on."""
        sizes = self.sizes or (0,) * len(self.pictures)
        for start in count(first, self.batch_size):
            places = [place % len(self.pictures) for place in range(start, start + self.batch_size)]
            yield Batch(tuple(self.pictures[place] for place in places), max(sizes[place] for place in places))

    def classifier(self) -> Classifier:
        """A client for this input, which doesn't retry: a failure is to be counted, not hidden in a longer latency."""
        return Classifier(
            self.url,
            self.model,
            preprocess="none" if self.input.startswith("pixels") else "server",
            timeout_s=self.timeout_s,
            retries=0,
            shared_memory=self.input.endswith("-shm"),
            tls=self.tls,
            headers=self.headers,
        )
