"""Many images over real gRPC: order, laziness, limits, and bad ones among them."""

from __future__ import annotations

import io
import itertools
import math
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image

from tests.wire.scripted import CLASSES, Hang, Service, classes, contents, image, infer
from tritonclas import Classifier, ImageRejected, InvalidRequest


class Shuffled:
    """Answers in an order of its own: of the requests that a client can have under way, a random one next.

    The first image of a request is its place; so the window that the client may fill is known.
    """

    def __init__(self, seed: int, requests: int, in_flight: int) -> None:
        self.order: list[int] = []
        self._choose = random.Random(seed).choice
        self._requests, self._in_flight = requests, in_flight
        self._waiting: set[int] = set()
        self._condition = threading.Condition()

    def __call__(self, request: Any, context: grpc.ServicerContext) -> Any:
        place = int(contents(request)[0]) // len(contents(request))
        with self._condition:
            self._waiting.add(place)
            self._release_one()
            assert self._condition.wait_for(lambda: place in self.order, timeout=20)
            self._release_one()
        return infer(request, context)

    def _release_one(self) -> None:
        head = next(place for place in itertools.count() if place not in self.order)
        window = set(range(head, min(head + self._in_flight, self._requests))) - set(self.order)
        if window and window <= self._waiting:
            self.order.append(self._choose(sorted(window)))
            self._condition.notify_all()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("in_flight", "batch_size"), [(1, 1), (3, 1), (4, 2), (8, 3)])
def test_order_is_kept(service: Service, classifier: Classifier, seed: int, in_flight: int, batch_size: int) -> None:
    shuffled = service.answers["ModelInfer"] = Shuffled(seed, 16, in_flight)
    images = map(image, range(16 * batch_size))
    results = classifier.classify_many(images, batch_size=batch_size, in_flight=in_flight)
    assert classes(results) == list(range(16 * batch_size))
    assert service.most_at_once == in_flight
    assert (shuffled.order == sorted(shuffled.order)) is (in_flight == 1)


class Counted:
    """Endless images, and how many have been asked for."""

    def __init__(self) -> None:
        self.read = 0

    def __iter__(self) -> Iterator[bytes]:
        while True:
            self.read += 1
            yield image(self.read - 1)


@pytest.mark.parametrize(("in_flight", "batch_size"), [(1, 1), (1, 4), (4, 1), (3, 4)])
def test_images_are_read_lazily(service: Service, classifier: Classifier, in_flight: int, batch_size: int) -> None:
    images = Counted()
    results = classifier.classify_many(images, batch_size=batch_size, in_flight=in_flight)
    assert (images.read, service.requests) == (0, [])
    for taken, result in enumerate(itertools.islice(results, 30), start=1):
        assert result.top.index == taken - 1
        assert images.read <= (math.ceil(taken / batch_size) - 1 + in_flight) * batch_size
    results.close()
    read = images.read
    assert len(service.asked("ModelInfer")) <= read / batch_size
    assert list(results) == []
    assert images.read == read


def test_leaving_early_does_not_wait_for_what_is_under_way(service: Service, classifier: Classifier) -> None:
    hang = Hang(infer)

    def first_at_once(request: Any, context: grpc.ServicerContext) -> Any:
        return (infer if contents(request) == [b"0"] else hang)(request, context)

    service.answers["ModelInfer"] = first_at_once
    results = classifier.classify_many(Counted(), batch_size=1, in_flight=3)
    assert next(results).top.index == 0
    assert hang.arrived.wait(10)
    leaving = threading.Thread(target=results.close)
    leaving.start()
    leaving.join(2)
    left, _ = not leaving.is_alive(), hang.release()
    leaving.join(20)
    assert left
    assert len(service.requests) <= 4


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 8])
def test_every_image_is_sent_once(service: Service, classifier: Classifier, batch_size: int) -> None:
    assert classes(classifier.classify_many(map(image, range(7)), batch_size=batch_size)) == list(range(7))
    sent = [contents(request) for request in service.asked("ModelInfer")]
    assert sorted(itertools.chain(*sent)) == [b"%d" % number for number in range(7)]
    assert max(map(len, sent)) == min(batch_size, 7)


def test_no_images(service: Service, classifier: Classifier) -> None:
    assert list(classifier.classify_many([])) == []
    assert classifier.probabilities([]).shape == (0, CLASSES)
    assert not service.asked("ModelInfer")


def test_bad_images_do_not_hinder_the_others(classifier: Classifier, tmp_path: Path) -> None:
    images = [image(0), image("bad 1"), image(2), tmp_path / "none.jpg", 4.0, image(5), image("bad 6"), image(7)]
    *results, last = classifier.classify_many(images, batch_size=4)
    reasons = ["bad 1", "no such file", "bad 6"]
    found = classes(results)
    assert [found[1], found[3], found[6]] == reasons
    assert "builtins.float isn't an image" in found[4]
    assert [found[0], found[2], found[5], last.top.index] == [0, 2, 5, 7]
    assert [results[1].source, results[6].source] == ["image 1", "image 6"]
    assert results[3].source == str(tmp_path / "none.jpg")


def test_a_rejection_doesnt_keep_the_pictures_of_its_batch(classifier: Classifier) -> None:
    """They would be in the frames of the errors that it came from."""
    _, rejected, _ = classifier.classify_many([image(0), image("bad 1"), image(2)])
    causes = 0
    cause = rejected.__cause__  # type: ignore[union-attr]
    while cause is not None:
        assert cause.__traceback__ is None
        causes, cause = causes + 1, cause.__cause__
    assert causes == 3


@pytest.mark.parametrize("batch_size", [8, 32, 256])
def test_a_batch_of_bad_images_only(classifier: Classifier, batch_size: int) -> None:
    """All the reasons travel in one gRPC status message, whose size is limited."""
    bad = [image("bad: not a picture in one of the formats JPEG, PNG, WEBP, BMP, TIFF, PPM (begins with b'GIF89a')")]
    results = list(classifier.classify_many(bad * batch_size, batch_size=batch_size))
    assert {type(result) for result in results} == {ImageRejected}
    assert len(results) == batch_size


def test_an_error_of_the_images_comes_through(classifier: Classifier) -> None:
    def broken() -> Iterator[bytes]:
        yield image(0)
        raise LookupError("the camera fell down")

    with pytest.raises(LookupError, match="camera"):
        list(classifier.classify_many(broken(), batch_size=1, in_flight=1))


@pytest.mark.parametrize("argument", ["top_k", "batch_size", "in_flight"])
def test_counts_begin_at_one(classifier: Classifier, argument: str) -> None:
    with pytest.raises(InvalidRequest, match=f"{argument} is 0; it must be from 1"):
        classifier.classify_many([image(1)], **{argument: 0})


ONE_IMAGE = {
    "path": "cat.jpg",
    "bytes": image(1),
    "file": io.BytesIO(image(1)),
    "PIL": Image.new("RGB", (2, 2)),
    "array": np.zeros((2, 2, 3), np.uint8),
}


@pytest.mark.parametrize("image", ONE_IMAGE.values(), ids=ONE_IMAGE)
def test_one_image_is_not_a_sequence_of_images(classifier: Classifier, image: object) -> None:
    for call in (classifier.classify_many, classifier.probabilities):
        with pytest.raises(InvalidRequest, match="one image"):
            call(image)
