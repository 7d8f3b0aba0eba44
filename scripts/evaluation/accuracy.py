"""How often a classifier is right, how sure that is, and whether it is what was published."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any, Literal

from tritonclas.published import Published

#: A difference from the published accuracy that isn't put down to rounding and other decoders: a percentage point.
POINT = 0.01

#: More rejected pictures than this share, and the accuracy isn't that of the set.
MOST_REJECTED = 0.01

_SHOWN_REJECTIONS = 5
_Z_95 = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a picture, or why it was rejected.

    `rank` is the place of its class among the five best (0 is the best, None is not among them), `top` and
    `score` are the best class and its probability.
    """

    rank: int | None = None
    top: int | None = None
    score: float | None = None
    rejected: str | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """So many right of so many."""

    right: int
    of: int

    @property
    def value(self) -> float:
        """The share, a fraction."""
        return self.right / self.of

    @property
    def interval(self) -> tuple[float, float]:
        """Between which fractions the true share is, with 95 % confidence.

        Wilson's score interval (E. B. Wilson, Journal of the American Statistical Association 22, 1927, 209-212),
        which holds for few pictures and for shares near 0 and 1, unlike the normal approximation.
        """
        n, share, z2 = self.of, self.value, _Z_95**2
        middle = (share + z2 / (2 * n)) / (1 + z2 / n)
        half = _Z_95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
        return max(0.0, middle - half), min(1.0, middle + half)

    def against(self, published: float) -> Literal["as published", "off", "too few pictures"]:
        """Whether it is within a point of the published fraction, as far as so many pictures can tell."""
        low, high = self.interval
        off = abs(self.value - published) > POINT + 1e-9  # 0.784 - 0.774 is more than 0.01 to a computer
        if off and not low <= published <= high:
            return "off"
        return "too few pictures" if off or (high - low) / 2 > POINT else "as published"


@dataclass
class Tally:
    """The answers so far, counted. `rejections` are the first few of them: picture, and why."""

    answered: int = 0
    right: int = 0
    right_in_5: int = 0
    rejected: int = 0
    rejections: list[tuple[str, str]] = field(default_factory=list)

    def add(self, picture: str, answer: Answer) -> None:
        """Count one more."""
        if answer.rejected is not None:
            self.rejected += 1
            if len(self.rejections) < _SHOWN_REJECTIONS:
                self.rejections.append((picture, answer.rejected))
            return
        self.answered += 1
        self.right += answer.rank == 0
        self.right_in_5 += answer.rank is not None

    @property
    def pictures(self) -> int:
        """All of them, the rejected as well."""
        return self.answered + self.rejected

    @property
    def top1(self) -> Share:
        """How many of the answered pictures were given their class."""
        return Share(self.right, self.answered)

    @property
    def top5(self) -> Share:
        """How many of the answered pictures have their class among the five best."""
        return Share(self.right_in_5, self.answered)

    @property
    def usable(self) -> bool:
        """False if so many pictures were rejected that the rest doesn't stand for the set."""
        return bool(self.answered) and self.rejected <= MOST_REJECTED * self.pictures

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON takes them; None where no picture was answered."""
        shares = {"top1": self.top1, "top5": self.top5} if self.answered else {"top1": None, "top5": None}
        return {
            "pictures": self.pictures,
            "answered": self.answered,
            "rejected": self.rejected,
            "rejections": [{"image": picture, "error": reason} for picture, reason in self.rejections],
            **{name: share and share.value for name, share in shares.items()},
            **{f"{name}_interval": share and list(share.interval) for name, share in shares.items()},
        }


def comparisons(tally: Tally, published: Published) -> list[str]:
    """What there is to say about the measured accuracy beside the published; nothing if they agree."""
    found = []
    for name, share, value in (("top-1", tally.top1, published.top1), ("top-5", tally.top5, published.top5)):
        verdict = share.against(value)
        points = f"{abs(share.value - value) * 100:.2f} points {'above' if share.value > value else 'below'}"
        if verdict == "off":
            found.append(f"{name} is {points} the published {percent(value)}; {_CAUSES}")
        elif verdict == "too few pictures":
            low, high = share.interval
            found.append(
                f"{name} is between {percent(low)} and {percent(high)} (95 %): {share.of} pictures are too few to tell "
                f"whether it is the published {percent(value)} to a point"
            )
    return found


_CAUSES = (
    "usual causes: the wrong interpolation (cubic for EfficientNet, linear for ResNeXt101_wsl), another resize or "
    "crop, a list with the classes in another order, other weights, or other pictures than ImageNet's validation set"
)


def percent(share: float) -> str:
    """A fraction as users read it."""
    return f"{100 * share:.2f} %"
