"""A user's program for type checkers: never run, checked against the installed wheel by test_types.py.

`assert_type` holds what callers rely on. A wrong use has a `type: ignore` with the error that it must be.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from typing_extensions import assert_type

from tritonclas import (
    AccessDenied,
    AsyncClassifier,
    AsyncModelServer,
    Classification,
    Classifier,
    Counters,
    DeadlineExceeded,
    ImageRejected,
    ImageSource,
    InvalidRequest,
    Label,
    ModelNotFound,
    ModelNotReady,
    ModelServer,
    ModelStatistics,
    ModelStatus,
    ServerError,
    ServerOverloaded,
    ServerUnavailable,
    Timing,
    Tls,
    TritonClasError,
)

URL = "localhost:8001"


def answers(answer: Classification) -> None:
    assert_type(answer.top, Label)
    assert_type(answer.top.name, str)
    assert_type(answer.top.score, float)
    assert_type(answer.top.index, int)
    assert_type(answer.labels, tuple[Label, ...])
    assert_type(answer.to_dict(), dict[str, Any])
    assert_type(answer.request_id, str)
    assert_type(answer.timing, Timing | None)
    print(answer.top.nmae)  # type: ignore[attr-defined]
    answer.model = "another"  # type: ignore[misc]


def images(path: Path, pixels: NDArray[np.uint8], floats: NDArray[np.float32]) -> list[ImageSource]:
    wrong: ImageSource = 5  # type: ignore[assignment]
    also_wrong: ImageSource = floats  # type: ignore[assignment]
    print(wrong, also_wrong)
    with path.open("rb") as file:
        return [path, str(path), b"encoded", bytearray(), memoryview(b""), file, Image.open(path), pixels]


def blocking(sources: list[ImageSource]) -> None:
    with Classifier(URL, "EfficientNetB0", timeout_s=10, retries=0, headers={"key": "value"}) as classifier:
        assert_type(classifier, Classifier)
        assert_type(classifier.classify(sources[0], top_k=3), Classification)
        results = classifier.classify_many(sources, batch_size=8, in_flight=2)
        assert_type(results, Generator[Classification | ImageRejected, None, None])
        for result in results:
            if isinstance(result, ImageRejected):
                assert_type(result.reason, str)
            else:
                assert_type(result, Classification)
        assert_type(classifier.probabilities(sources), NDArray[np.float32])
        assert_type(classifier.max_batch_size(), int)
        assert_type(classifier.counters, Counters)
        assert_type(classifier.with_headers({"another": "value"}), Classifier)
        for mixed in classifier.classify_many(["cat.jpg"]):
            print(mixed.top)  # type: ignore[union-attr]
        classifier.classify(5)  # type: ignore[arg-type]
        classifier.classify("cat.jpg", 3)  # type: ignore[call-arg]
        classifier.classify("cat.jpg", topk=3)  # type: ignore[call-arg]


def made_wrongly() -> None:
    Classifier(URL)  # type: ignore[call-arg]
    Classifier(8001, "EfficientNetB0")  # type: ignore[arg-type]
    Classifier(URL, "EfficientNetB0", preprocess="gpu")  # type: ignore[arg-type]
    Classifier(URL, "EfficientNetB0", headers=["key"])  # type: ignore[arg-type]
    ModelServer([URL, URL])  # type: ignore[arg-type]


def connections() -> None:
    Classifier([URL, "localhost:8011"], "EfficientNetB0", preprocess="client", tls=Tls(ca="ca.pem", server_name="host"))
    Classifier(URL, "EfficientNetB0", version=2)
    Classifier(URL, "EfficientNetB0", preprocess="none", shared_memory=True)
    AsyncClassifier(URL, "EfficientNetB0", preprocess="none")
    Tls(certificate="client.pem", key=Path("client.key"))
    Tls(ca=5)  # type: ignore[arg-type]


def server() -> None:
    with ModelServer(URL) as control:
        assert_type(control.live(), bool)
        assert_type(control.ready("EfficientNetB0"), bool)
        assert_type(control.version(), str)
        assert_type(control.models(), list[ModelStatus])
        assert_type(control.models()[0].ready, bool)
        assert_type(control.statistics()[0], ModelStatistics)
        assert_type(control.statistics()[0].average_queue_s, float)
        assert_type(control.statistics()[0].average_success_s, float)
        assert_type(control.statistics()[0].success_s, float)
        assert_type(control.statistics()[0].batch_sizes, Mapping[int, int])
        control.statistics()[0].batch_sizes[8] = 1  # type: ignore[index]
        assert_type(control.config("EfficientNetB0"), dict[str, Any])
        control.wait_ready(["EfficientNetB0"], timeout_s=60)
        control.load("EfficientNetB0", config={"max_batch_size": 8})
        control.unload("EfficientNetB0")


async def awaited(sources: list[ImageSource]) -> None:
    async with AsyncClassifier(URL, "EfficientNetB0") as classifier:
        assert_type(classifier, AsyncClassifier)
        assert_type(await classifier.classify("cat.jpg"), Classification)
        results = classifier.classify_many(sources)
        assert_type(results, AsyncGenerator[Classification | ImageRejected, None])
        async for result in results:
            assert_type(result, Classification | ImageRejected)
        assert_type(await classifier.probabilities(sources), NDArray[np.float32])
        print(classifier.classify("cat.jpg").top)  # type: ignore[attr-defined]
        classifier.classify("cat.jpg")  # type: ignore[unused-coroutine]
        for each in classifier.classify_many(sources):  # type: ignore[attr-defined]
            print(each)
    with classifier:  # type: ignore[attr-defined]
        pass
    async with AsyncModelServer(URL) as control:
        assert_type(await control.models(), list[ModelStatus])
        assert_type(await control.ready(), bool)


def errors(classifier: Classifier) -> None:
    try:
        classifier.classify("cat.jpg")
    except (ServerOverloaded, ServerUnavailable, DeadlineExceeded, ModelNotReady) as error:
        again: TritonClasError = error
        assert_type(again.attempts, int)
    except ImageRejected as error:
        assert_type(error.source, str)
    except (AccessDenied, InvalidRequest, ModelNotFound, ServerError) as error:
        assert_type(error.model, str | None)
        assert_type(error.endpoint, str | None)
