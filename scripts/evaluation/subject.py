"""The model that is evaluated: what is known of it before the first picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scripts.evaluation.accuracy import Answer, Tally, comparisons
from scripts.evaluation.interpolation import probe, scaled_probes, way_seen
from tritonclas import Classification, Classifier, ImageRejected, zoo
from tritonclas.published import Published

#: So many answers are asked for again before an evaluation goes on.
_ASKED_AGAIN = 8
#: The same weights give scores this close on every device and at every precision.
_SCORE_TOLERANCE = 0.02


@dataclass(frozen=True)
class Subject:
    """A served model.

    `names` are its classes', "" where they have none; `interpolation` is the one seen in its answers, None for a
    model that isn't in the zoo.
    """

    name: str
    names: tuple[str, ...]
    synthetic: bool
    interpolation: str | None

    @property
    def published(self) -> Published | None:
        """What PaddleClas published of the model of that name; None for others, and with other classes."""
        row = zoo.MODELS.get(self.name)
        return row.published if row and row.classes == len(self.names) else None

    def remarks(self, tally: Tally) -> list[str]:
        """What somebody who reads the accuracy should know."""
        found = []
        if tally.rejected:
            found.append(f"{tally.rejected} of {tally.pictures} pictures were rejected and are left out: {_few(tally)}")
        if self.synthetic:
            return [*found, f"{self.name} has synthetic (random) weights: its accuracy means nothing"]
        row = zoo.MODELS.get(self.name)
        if row and self.interpolation == "another":
            found.append(f"the server doesn't scale pictures as {self.name} needs it: {row.preprocess_name}")
        elif row and self.interpolation not in (row.interpolation, "unknown"):
            found.append(f"the server's interpolation is {self.interpolation}, {self.name} needs {row.interpolation}")
        if self.published and tally.answered:
            found += comparisons(tally, self.published)
        return found


def _few(tally: Tally) -> str:
    more = "; …" if tally.rejected > len(tally.rejections) else ""
    return "; ".join(f"{picture}: {reason}" for picture, reason in tally.rejections) + more


def examine(classifier: Classifier) -> Subject:
    """Ask the server about its model, by letting it classify a few made pictures."""
    row = zoo.MODELS.get(classifier.model)
    answers = classifier.probabilities([probe(), *(scaled_probes(row) if row else [])])
    best = classifier.classify(probe(), top_k=answers.shape[1])
    names = {label.index: label.name for label in best.labels}
    return Subject(
        classifier.model,
        tuple(names.get(index, "") for index in range(answers.shape[1])),
        best.synthetic,
        way_seen(answers) if row else None,
    )


def answer_of(result: Classification | ImageRejected, index: int) -> Answer:
    """What is kept of the answer to a picture of class `index`."""
    if isinstance(result, ImageRejected):
        return Answer(rejected=result.reason)
    indices = [label.index for label in result.labels]
    return Answer(indices.index(index) if index in indices else None, result.top.index, result.top.score)


def same_weights(classifier: Classifier, asked: Sequence[tuple[str, Answer]]) -> bool:
    """Whether the model still answers as it did: the first few pictures that it answered, asked again."""
    again = [(path, before) for path, before in asked if before.rejected is None][:_ASKED_AGAIN]
    if not again:
        return True
    results = classifier.classify_many([path for path, _ in again], top_k=1)
    return all(_alike(result, before) for result, (_, before) in zip(results, again, strict=True))


def _alike(result: Classification | ImageRejected, before: Answer) -> bool:
    return (
        isinstance(result, Classification)
        and result.top.index == before.top
        and abs(result.top.score - (before.score or 0)) <= _SCORE_TOLERANCE
    )
