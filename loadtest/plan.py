"""The cells of a sweep, in the order in which they are measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

from loadtest.cell import Key
from loadtest.load import Load
from loadtest.subjects import Model
from loadtest.workload import Input, Workload


@dataclass(frozen=True)
class Planned:
    """A cell that is still to be measured."""

    model: Model
    workload: Workload
    load: Load

    @property
    def key(self) -> Key:
        """What tells it from other cells."""
        return Key(self.workload.model, self.workload.batch_size, str(self.load), self.workload.input)


#: What is sent to a model as an input: the workload without a batch size.
Templates = Mapping[tuple[str, Input], Workload]


def plan(
    models: Iterable[Model],
    templates: Templates,
    batch_sizes: Sequence[int],
    loads: Sequence[Load],
) -> list[Planned]:
    """Every model with each of its inputs at every batch size under every load."""
    return [
        Planned(model, replace(template, batch_size=batch_size), load)
        for model in models
        for (name, _), template in templates.items()
        if name == model.name
        for batch_size, load in product(batch_sizes, loads)
    ]
