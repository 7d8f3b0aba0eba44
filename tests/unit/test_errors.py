"""The errors: one tree, context that survives pickling, and causes that don't get lost."""

from __future__ import annotations

import copy
import pickle
import threading
from typing import Any

import pytest

import tritonclas
from tritonclas import ImageRejected, ServerUnavailable, TritonClasError, errors

CLASSES = [TritonClasError, *TritonClasError.__subclasses__()]
COPIES = [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy]

every_class = pytest.mark.parametrize("kind", CLASSES)
every_copy = pytest.mark.parametrize("copied", COPIES, ids=["pickle", "copy", "deepcopy"])


def raised(kind: type[TritonClasError], cause: Exception | None = None, **details: Any) -> TritonClasError:
    try:
        raise kind("it broke", model="EfficientNetB0", endpoint="host:8001", attempts=3, **details) from cause
    except TritonClasError as error:
        return error


@every_copy
@every_class
def test_round_trip(kind: type[TritonClasError], copied: Any) -> None:
    error = copied(raised(kind, ConnectionResetError(104, "reset by peer")))
    assert (type(error), str(error)) == (kind, "it broke")
    assert (error.model, error.endpoint, error.attempts) == ("EfficientNetB0", "host:8001", 3)
    assert (type(error.__cause__), error.__cause__.args) == (ConnectionResetError, (104, "reset by peer"))


@every_copy
def test_round_trip_of_a_rejected_image(copied: Any) -> None:
    error = copied(raised(ImageRejected, source="cat.jpg", reason="no such file"))
    assert (error.source, error.reason, error.__cause__) == ("cat.jpg", "no such file", None)


def test_a_chain_of_errors_survives() -> None:
    error = pickle.loads(pickle.dumps(raised(ImageRejected, raised(ServerUnavailable, OSError("cable")))))
    assert isinstance(error.__cause__, ServerUnavailable)
    assert str(error.__cause__.__cause__) == "cable"


def test_a_cause_that_cannot_be_pickled_is_kept_as_text() -> None:
    error = pickle.loads(pickle.dumps(raised(ServerUnavailable, OSError(threading.Lock(), "reset"))))
    assert isinstance(error.__cause__, RuntimeError)
    assert str(error.__cause__).startswith("OSError: ")
    assert str(error.__cause__).endswith("reset")


@every_class
def test_the_tree_in_the_documentation_is_the_tree(kind: type[TritonClasError]) -> None:
    assert f"─ {kind.__name__}  " in errors.__doc__ or kind is TritonClasError
    assert not set(kind.__subclasses__()) - set(CLASSES)
    assert getattr(tritonclas, kind.__name__) is kind


def test_nothing_is_in_the_documented_tree_that_is_not_there() -> None:
    drawn = {line.split()[1] for line in errors.__doc__.splitlines() if "── " in line}
    assert drawn == {kind.__name__ for kind in CLASSES} - {"TritonClasError"}


def test_defaults() -> None:
    error = TritonClasError("it broke")
    assert (error.model, error.endpoint, error.attempts) == (None, None, 0)
