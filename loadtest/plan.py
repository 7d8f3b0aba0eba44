"""The cells of a sweep, in the order in which they are measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product

from loadtest.subjects import Subject
from loadtest.workload import Input, Workload


@dataclass(frozen=True)
class Planned:
    """A cell that is still to be measured."""

    workload: Workload
    users: int
    synthetic: bool

    @property
    def title(self) -> str:
        """How the progress bar names it."""
        return f"{self.workload.title}, users {self.users}"


def plan(
    template: Workload,
    subjects: Iterable[Subject],
    batch_sizes: Sequence[int],
    users: Sequence[int],
    inputs: Sequence[Input] = ("encoded",),
) -> list[Planned]:
    """Every model with every input, batch size and number of users; the rest of a workload is the template's."""
    return [
        Planned(replace(template, model=subject.name, input=each, batch_size=batch_size), count, subject.synthetic)
        for subject, each, batch_size, count in product(subjects, inputs, batch_sizes, users)
    ]
