"""Names of classes that the caller gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.wire.scripted import CLASSES, Service, image, refuse
from tritonclas import Classifier, InvalidRequest

Connect = Callable[..., Classifier]

NAMES = [f"flower {number}" for number in range(CLASSES)]


@pytest.mark.parametrize("kind", ["list", "file", "path"])
def test_they_name_the_classes(connect: Connect, url: str, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("\n".join(NAMES), encoding="utf-8")
    labels = {"list": NAMES, "file": str(path), "path": path}[kind]
    assert connect(url, labels=labels).classify(image(7)).top.name == "flower 7"


@pytest.mark.parametrize("count", [1, CLASSES - 1, CLASSES + 1])
def test_there_must_be_one_for_each_class(connect: Connect, url: str, count: int) -> None:
    with pytest.raises(InvalidRequest, match=f"labels has {count} names, and the model {CLASSES} classes"):
        connect(url, labels=["x"] * count).classify(image(7))


def test_where_the_number_of_classes_may_not_be_asked_they_are_believed(
    service: Service, connect: Connect, url: str
) -> None:
    service.answers["ModelConfig"] = refuse(grpc.StatusCode.UNAVAILABLE, "This protocol is restricted")
    assert connect(url, labels=NAMES).classify(image(7)).top.name == "flower 7"


@pytest.mark.parametrize("labels", [[], ["a", 1], Path("nowhere.txt"), "nowhere.txt"], ids=str)
def test_what_are_not_names_is_refused(connect: Connect, url: str, labels: Any) -> None:
    with pytest.raises(InvalidRequest, match="labels"):
        connect(url, labels=labels)
