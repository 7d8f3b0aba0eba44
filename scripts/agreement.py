"""Whether an ONNX file's probabilities are Paddle's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scripts.errors import VerificationError

Picture = NDArray[np.uint8]
Rows = NDArray[np.float32]

#: How far from 1 a row of probabilities may sum: 1000 roundings of float32, generously.
_SUM_TOLERANCE = 1e-4
_TOP = 5
#: By how much more than the tolerance the answers to different pictures must differ: a network that is wrong would
#: otherwise pass where all answers are nearly the same.
_VARIETY = 10
_UNTOLD = (
    "its weights are damaged, or it can't tell these pictures apart; then give --pictures a folder with some of its own"
)


@dataclass(frozen=True)
class Batch:
    """Pictures that are asked at once, uint8 [N, crop, crop, 3]; `numbers` are theirs, counted from 1."""

    numbers: tuple[int, ...]
    pictures: Picture


@dataclass(frozen=True)
class Agreement:
    """How well an ONNX file and Paddle agree.

    `difference` is the largest absolute difference of a probability, found at picture `picture` (counted
    from 1) in a batch of `batch`; `tolerance` is what is allowed. `top5_equal` is True if the five
    likeliest classes come in the same order, but for those that are nearer than the tolerance.
    """

    difference: float
    picture: int
    batch: int
    top5_equal: bool
    tolerance: float


def judge(
    asked: Sequence[Batch], expected: Sequence[Rows], found: Sequence[Rows], classes: int, tolerance: float
) -> Agreement:
    """Compares Paddle's answers, probabilities or scores, with the ONNX file's, a pair for each batch.

    VerificationError if they differ by more than the tolerance, or if equality would prove nothing.
    """
    wanted = [_as_probabilities(rows) for rows in expected]
    for batch, one, other in zip(asked, wanted, found, strict=True):
        shape = (len(batch.numbers), classes)
        _check_rows("Paddle", one, shape)
        _check_rows("the ONNX file", other, shape)
    _check_variety(found, tolerance)
    agreement = _compare(asked, wanted, found, tolerance)
    _check(agreement)
    return agreement


def _as_probabilities(rows: Rows) -> Rows:
    """The rows, after a softmax if they are scores: the ONNX file has one, whether the archive has or not."""
    if (rows >= 0).all() and np.allclose(rows.sum(axis=1), 1, atol=_SUM_TOLERANCE):
        return rows
    powers = np.exp(rows.astype(np.float64) - rows.max(axis=1, keepdims=True))
    probabilities: Rows = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    return probabilities


def _check_rows(who: str, rows: Rows, shape: tuple[int, int]) -> None:
    """VerificationError unless the rows are probabilities of that shape."""
    if rows.shape != shape:
        raise _refusal(f"{who} answers {rows.shape} instead of {shape}")
    if not np.isfinite(rows).all():
        raise _refusal(f"{who} answers NaN or infinity: the archive's weights are damaged")
    sums = rows.sum(axis=1, dtype=np.float64)
    worst = sums[np.abs(sums - 1).argmax()]
    if abs(worst - 1) > _SUM_TOLERANCE:
        raise _refusal(f"the probabilities of {who} sum to {worst:.4g} instead of 1")


def _check_variety(found: Sequence[Rows], tolerance: float) -> None:
    """VerificationError if agreement would prove nothing: one answer to all pictures, or one class with 100 % each."""
    rows = np.concatenate(found)
    spread = float(np.abs(rows - rows[0]).max())
    if spread <= _VARIETY * tolerance:
        raise _refusal(f"the model answers the same for every picture, to {spread:.1g}: {_UNTOLD}")
    if rows.max(axis=1).min() >= 1 - tolerance:
        raise _refusal(f"the model is certain of one class for every picture, even for noise: {_UNTOLD}")


def _compare(asked: Sequence[Batch], expected: Sequence[Rows], found: Sequence[Rows], tolerance: float) -> Agreement:
    differences = [np.abs(one - other).max(axis=1) for one, other in zip(expected, found, strict=True)]
    worst = max(range(len(asked)), key=lambda position: float(differences[position].max()))
    row = int(differences[worst].argmax())
    pairs = zip(np.concatenate(expected), np.concatenate(found), strict=True)
    return Agreement(
        difference=float(differences[worst][row]),
        picture=asked[worst].numbers[row],
        batch=len(asked[worst].numbers),
        top5_equal=all(same_top(one, other, tolerance) for one, other in pairs),
        tolerance=tolerance,
    )


def same_top(expected: Rows, found: Rows, tolerance: float) -> bool:
    """True if the five likeliest of [classes] come in the same order, but for those nearer than the tolerance."""
    likeliest, answered = (np.argsort(-row, kind="stable")[:_TOP] for row in (expected, found))
    return bool((np.abs(expected[likeliest] - expected[answered])[likeliest != answered] < tolerance).all())


def _check(agreement: Agreement) -> None:
    allowed = f"{agreement.tolerance:.0e}".replace("e-0", "e-")
    if agreement.difference > agreement.tolerance:
        found = f"{agreement.difference:.1e}".replace("e-0", "e-")
        place = f"at picture {agreement.picture}, batch {agreement.batch}"
        raise _refusal(f"largest difference {found} {place}; at most {allowed} is allowed")
    if not agreement.top5_equal:
        raise _refusal(f"the five likeliest classes differ, though no probability by more than {allowed}")


def _refusal(reason: str) -> VerificationError:
    return VerificationError(f"{reason}; nothing was published")
