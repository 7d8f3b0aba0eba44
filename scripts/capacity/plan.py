"""The arithmetic: from latencies to images a second, to what a pod can do of them, to the number of pods."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Mode = Literal["server", "client"]
Resource = Literal["GPU", "CPU", "network", "server"]

#: uint8 RGB.
_BYTES_PER_PIXEL = 3
#: A float32 for each class; Triton's classification extension sends less.
_BYTES_PER_CLASS = 4


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What a picture costs. `preprocess_ms` and `request_ms` are milliseconds of one core: preparing it, and all that
    Triton does for a request of one picture besides preparing and computing. `encoded_bytes` is its file's size."""

    name: str
    preprocess_ms: float
    request_ms: float
    encoded_bytes: int


@dataclass(frozen=True, kw_only=True)
class Pod:
    """What a server has for one GPU."""

    cores: float
    gbit_per_s: float


@dataclass(frozen=True, kw_only=True)
class Margins:
    """The share of a pod's rate that isn't planned with, 0 to less than 1, and the pods that may be away."""

    headroom: float
    spare: int


@dataclass(frozen=True, kw_only=True)
class Basis:
    """Images a second by batch size, of a model in a place.

    `whole` tells a measurement of the whole server, preprocessing and all, from one of the network alone.
    `crop` in pixels.
    """

    model: str
    place: str
    crop: int
    classes: int
    images_per_s: Mapping[int, float]
    whole: bool = False

    @property
    def best_batch(self) -> int:
        """The batch size with most images a second."""
        return max(self.images_per_s, key=self.images_per_s.__getitem__)

    @property
    def most(self) -> float:
        """Images a second at that size."""
        return self.images_per_s[self.best_batch]


@dataclass(frozen=True, kw_only=True)
class Demand:
    """What a picture needs of a server's cores and network, and of its client's cores."""

    core_ms: float
    client_core_ms: float
    bytes: int


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a pod can do and how many it takes; `replicas` by target in images a second.

    `limits` is the highest rate that each resource allows, `bottleneck` the resource that allows least.
    """

    basis: Basis
    mode: Mode
    picture: Picture
    demand: Demand
    limits: Mapping[Resource, float]
    replicas: Mapping[int, int]

    @property
    def bottleneck(self) -> Resource:
        """What runs out first."""
        return min(self.limits, key=self.limits.__getitem__)

    @property
    def images_per_s(self) -> float:
        """Of a pod that is used up."""
        return self.limits[self.bottleneck]

    @property
    def cores(self) -> float:
        """Cores that the basis' whole rate would take."""
        return self.basis.most * self.demand.core_ms / 1000

    @property
    def gbit_per_s(self) -> float:
        """Network that the basis' whole rate would take, both ways."""
        return gbit_per_s(self.basis.most, self.demand.bytes)


def images_per_s(batch_size: int, latency_ms: float) -> float:
    """Of batches that are computed one after another."""
    return batch_size * 1000 / latency_ms


def gbit_per_s(rate: float, nbytes: int) -> float:
    """Of pictures of so many bytes, without what gRPC, TCP and IP add."""
    return rate * nbytes * 8 / 1e9


def crop_bytes(crop: int) -> int:
    """Of a crop as it is sent."""
    return crop * crop * _BYTES_PER_PIXEL


def demand(basis: Basis, mode: Mode, picture: Picture) -> Demand:
    """The server's cores and files to it, where it prepares pictures; the clients' cores and crops, where they do."""
    answer = basis.classes * _BYTES_PER_CLASS
    if mode == "server":
        cost = picture.preprocess_ms + picture.request_ms
        return Demand(core_ms=cost, client_core_ms=0.0, bytes=picture.encoded_bytes + answer)
    return Demand(
        core_ms=picture.request_ms, client_core_ms=picture.preprocess_ms, bytes=crop_bytes(basis.crop) + answer
    )


def limits(basis: Basis, needed: Demand, pod: Pod) -> dict[Resource, float]:
    """The highest rate that each resource of a pod allows. What was measured of a whole server has its CPU in it."""
    network = pod.gbit_per_s * 1e9 / 8 / needed.bytes
    if basis.whole:
        return {"server": basis.most, "network": network}
    return {"GPU": basis.most, "CPU": pod.cores * 1000 / needed.core_ms, "network": network}


def replicas(target: int, pod_images_per_s: float, margins: Margins) -> int:
    """Pods for a rate of images a second: those that have it with the headroom, and the spare ones."""
    return math.ceil(target / (pod_images_per_s * (1 - margins.headroom))) + margins.spare


def plan(  # noqa: PLR0917  what a plan is made of
    basis: Basis, mode: Mode, picture: Picture, pod: Pod, margins: Margins, targets: Sequence[int]
) -> Plan:
    """The plan of one basis for these targets in images a second."""
    needed = demand(basis, mode, picture)
    bounds = limits(basis, needed, pod)
    return Plan(
        basis=basis,
        mode=mode,
        picture=picture,
        demand=needed,
        limits=bounds,
        replicas={target: replicas(target, min(bounds.values()), margins) for target in targets},
    )


def mean_wait(utilisation: float) -> float:
    """How long a batch waits on average before it is computed, in times that a batch takes (M/D/1).

    Batches that come at random and all take the same time: the Pollaczek-Khinchine formula.
    """
    return utilisation / (2 * (1 - utilisation))
