"""The async clients have the blocking ones' methods, with the same arguments and the same explanations."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from tritonclas import AsyncClassifier, AsyncModelServer, Classifier, ModelServer

TWINS = [(Classifier, AsyncClassifier), (ModelServer, AsyncModelServer)]


def public(kind: type) -> dict[str, Any]:
    return {name: value for name, value in inspect.getmembers(kind, callable) if not name.startswith("_")}


NOT_AWAITED = ("__init__", "classify_many", "with_headers")
METHODS = [(one, other, name) for one, other in TWINS for name in ("__init__", *public(one))]


@pytest.mark.parametrize(("one", "other"), TWINS)
def test_they_have_the_same_methods(one: type, other: type) -> None:
    assert public(one).keys() == public(other).keys()
    assert hasattr(one, "__enter__")
    assert hasattr(other, "__aenter__")


@pytest.mark.parametrize(("one", "other", "name"), METHODS, ids=[f"{one.__name__}.{name}" for one, _, name in METHODS])
def test_they_take_and_answer_the_same(one: type, other: type, name: str) -> None:
    blocking, awaited = (inspect.signature(getattr(kind, name)) for kind in (one, other))
    allowed = {  # what is asynchronous by its nature
        "transport": ("Transport | None", "AsyncTransport | None"),
        "images": ("Iterable[ImageSource]", "Iterable[ImageSource] | AsyncIterable[ImageSource]"),
    }
    for mine, its in zip(blocking.parameters.values(), awaited.parameters.values(), strict=True):
        assert (mine.name, mine.kind, mine.default) == (its.name, its.kind, its.default)
        assert mine.annotation == its.annotation or (mine.annotation, its.annotation) == allowed[mine.name]
    answers = (
        str(blocking.return_annotation).replace("Generator[", "AsyncGenerator[").replace(", None, None]", ", None]")
    )
    assert awaited.return_annotation == answers


@pytest.mark.parametrize(("one", "other", "name"), METHODS, ids=[f"{one.__name__}.{name}" for one, _, name in METHODS])
def test_what_isnt_iterated_over_is_awaited(one: type, other: type, name: str) -> None:
    assert inspect.iscoroutinefunction(getattr(other, name)) is (name not in NOT_AWAITED)


@pytest.mark.parametrize(("one", "other", "name"), METHODS, ids=[f"{one.__name__}.{name}" for one, _, name in METHODS])
def test_they_are_explained_alike(one: type, other: type, name: str) -> None:
    mine, its = (inspect.getdoc(getattr(kind, name)) or "" for kind in (one, other))
    assert mine.splitlines()[:1] == its.splitlines()[:1]
