"""The classifier over real gRPC: what it sends and answers, threads, deadlines, errors, the end."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from tests.pictures import noise
from tests.wire.scripted import CLASSES, CROP, MODEL, Hang, Service, classes, contents, files, image, infer, refuse
from tritonclas import (
    AccessDenied,
    Classifier,
    DeadlineExceeded,
    ImageRejected,
    InvalidRequest,
    ModelNotFound,
    ServerError,
    ServerOverloaded,
    ServerUnavailable,
    TritonClasError,
)
from tritonclas.preprocess import Preprocessing

Connect = Callable[..., Classifier]


def test_classify(service: Service, classifier: Classifier, examples: dict[str, Path]) -> None:
    result = classifier.classify(image("282:tiger cat"), top_k=3)
    assert [(label.index, label.score, label.name) for label in result.labels] == [
        (282, 1.0, "tiger cat"),
        (283, 0.99, "tiger cat"),
        (284, 0.98, "tiger cat"),
    ]
    assert (result.model, result.version) == (MODEL, "1")
    service.answers["ModelInfer"] = lambda request, context: infer(_asking_for(image(7), request), context)
    assert classifier.classify(examples["cat"]).top.index == 7
    assert files(service.asked("ModelInfer")[-1])[0] == examples["cat"].read_bytes()


def _asking_for(content: bytes, request: Any) -> Any:
    changed = type(request)()
    changed.CopyFrom(request)
    changed.raw_input_contents[0] = len(content).to_bytes(4, "little") + content
    return changed


def test_classify_raises_for_a_bad_image(classifier: Classifier) -> None:
    with pytest.raises(ImageRejected, match="image 0: bad one") as caught:
        classifier.classify(image("bad one"))
    assert (caught.value.model, caught.value.endpoint, caught.value.attempts) == (MODEL, classifier.url, 1)


@pytest.mark.parametrize("count", [1, 8, 9, 20])
def test_probabilities(service: Service, classifier: Classifier, count: int) -> None:
    probabilities = classifier.probabilities([image(number) for number in range(count)])
    np.testing.assert_array_equal(probabilities, np.eye(count, CLASSES, dtype=np.float32))
    assert probabilities.dtype == np.float32
    assert max(len(contents(request)) for request in service.asked("ModelInfer")) == min(count, 8)
    assert classifier.max_batch_size() == 8


def test_client_side_preprocessing(service: Service, url: str, connect: Connect) -> None:
    pixels = [noise(300, 260), noise(224, 224)]
    classifier = connect(url, preprocess="client")
    results = list(classifier.classify_many([*pixels, "none.jpg"], top_k=1))
    crops = [Preprocessing(256, CROP, "cubic").crop_pixels(each) for each in pixels]
    (request,) = service.asked("ModelInfer")
    assert (request.model_name, list(request.inputs[0].shape)) == (f"{MODEL}_net", [2, CROP, CROP, 3])
    assert request.raw_input_contents[0] == b"".join(crop.tobytes() for crop in crops)
    assert classes(results) == [*(int(crop.flat[0]) for crop in crops), "no such file"]
    assert results[0].model == MODEL


def test_ready_crops_are_sent_as_they_are(service: Service, url: str, connect: Connect) -> None:
    crops = [noise(CROP, CROP), noise(CROP, CROP)[::-1], np.full((CROP, CROP, 3), 7, np.uint8)]
    classifier = connect(url, preprocess="none")
    results = list(classifier.classify_many(crops, top_k=1))
    (request,) = service.asked("ModelInfer")
    tensor = request.inputs[0]
    assert (request.model_name, tensor.name, tensor.datatype) == (f"{MODEL}_net", "pixels", "UINT8")
    assert list(tensor.shape) == [3, CROP, CROP, 3]
    assert request.raw_input_contents[0] == b"".join(crop.tobytes() for crop in crops)
    assert classes(results) == [int(crop.flat[0]) for crop in crops]
    assert classifier.probabilities(np.stack(crops)).argmax(axis=1).tolist() == classes(results)
    assert len(service.asked("ModelConfig")) == 2


def test_what_isnt_a_ready_crop_does_not_hinder_the_others(service: Service, url: str, connect: Connect) -> None:
    crop = np.full((CROP, CROP, 3), 7, np.uint8)
    *others, float_one = [image(1), "cat.jpg", noise(100, 100), crop / 255]
    results = list(connect(url, preprocess="none").classify_many([crop, *others, crop, float_one], top_k=1))
    assert [result.top.index for result in results if not isinstance(result, ImageRejected)] == [7, 7]
    assert len(service.asked("ModelInfer")) == 1
    wanted = "preprocess='none' takes uint8 [224, 224, 3]"
    uncropped = f"isn't an array; {wanted}, and 'client' or 'server' what isn't cropped yet"
    assert [str(result) for result in results[1:4]] == [
        f"image 1: a builtins.bytes {uncropped}",
        f"cat.jpg: a builtins.str {uncropped}",
        f"image 3: the array is uint8 [100, 100, 3]; {wanted}",
    ]
    assert str(results[5]).startswith(f"image 5: the array is float64 [224, 224, 3]; {wanted}: (pixels * 255).round()")
    with pytest.raises(ImageRejected, match=r"image 0: the array is uint8 \[100, 100, 3\]"):
        connect(url, preprocess="none").classify(noise(100, 100))


def test_the_configuration_is_read_once(service: Service, url: str, connect: Connect) -> None:
    classifier = connect(url, preprocess="client")
    for _ in range(3):
        classifier.classify(noise(8, 8))
        classifier.probabilities([noise(8, 8)])
    assert len(service.asked("ModelConfig")) == 2


def test_headers_go_with_every_request_and_more_with_some(service: Service, url: str, connect: Connect) -> None:
    classifier = connect(url, headers={"Tenant": "a", "key": "1"}, preprocess="client")
    more = classifier.with_headers({"KEY": "2", "trace": "x"})
    for client in (classifier, more, classifier):
        client.classify(noise(8, 8))
    sent = [tuple(headers.get(name) for name in ("tenant", "key", "trace")) for headers in service.headers]
    assert sent == [("a", "1", None)] * 3 + [("a", "2", "x")] + [("a", "1", None)]
    classifier.close()
    with pytest.raises(InvalidRequest, match="is closed"):
        more.classify(noise(8, 8))


@pytest.mark.parametrize("preprocess", ["server", "client"])
def test_threads_share_a_classifier(url: str, connect: Connect, preprocess: Any) -> None:
    def classify(number: int) -> int:
        picture = image(number) if preprocess == "server" else np.full((8, 8, 3), number % 256, np.uint8)
        return classifier.classify(picture, top_k=1).top.index

    classifier = connect(url, preprocess=preprocess)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(classify, range(160))) == list(range(160))


CALLS: dict[str, Callable[[Classifier], Any]] = {
    "classify": lambda client: client.classify(image(1), timeout_s=0.2),
    "classify_many": lambda client: list(client.classify_many([image(1), image(2)], batch_size=1, timeout_s=0.2)),
    "probabilities": lambda client: client.probabilities([image(1)], timeout_s=0.2),
}


@pytest.mark.parametrize("method", ["ModelInfer", "ModelConfig"])
@pytest.mark.parametrize("name", CALLS)
def test_the_deadline_holds_when_the_server_hangs(
    service: Service, classifier: Classifier, connect: Connect, name: str, method: str
) -> None:
    if method == "ModelConfig" and name != "probabilities":
        classifier = connect(classifier.url, preprocess="client")
    service.answers[method] = Hang(service.answers[method])
    begin = time.monotonic()
    with pytest.raises(DeadlineExceeded, match=f"{MODEL} at {classifier.url}: no answer within") as caught:
        CALLS[name](classifier)
    assert 0.15 < time.monotonic() - begin < 3
    assert caught.value.attempts >= 1


def test_the_server_is_told_how_long_the_answer_is_wanted(service: Service, classifier: Classifier) -> None:
    classifier.classify(image(1), timeout_s=5)
    assert 4_000_000 < service.asked("ModelInfer")[0].parameters["timeout"].int64_param <= 5_000_000


@pytest.mark.parametrize("timeout_s", [0.0, -1.0])
def test_no_time_no_request(service: Service, classifier: Classifier, timeout_s: float) -> None:
    with pytest.raises(DeadlineExceeded):
        classifier.classify(image(1), timeout_s=timeout_s)
    assert not service.requests


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), 1e300])
def test_a_deadline_that_is_no_time_is_refused(classifier: Classifier, odd: float) -> None:
    with pytest.raises(InvalidRequest, match="timeout_s"):
        classifier.classify(image(1), timeout_s=odd)


STATUSES = [
    (grpc.StatusCode.NOT_FOUND, "Request for unknown model: 'X' is not found", ModelNotFound),
    (grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size", ServerOverloaded),
    (grpc.StatusCode.UNAVAILABLE, "This protocol is restricted, expecting header 'key'", AccessDenied),
    (grpc.StatusCode.INVALID_ARGUMENT, "unexpected shape", InvalidRequest),
    (grpc.StatusCode.INTERNAL, "CUDA out of memory", ServerError),
]


@pytest.mark.parametrize(("code", "message", "kind"), STATUSES, ids=lambda value: getattr(value, "__name__", None))
def test_errors_of_the_server(
    service: Service, classifier: Classifier, code: grpc.StatusCode, message: str, kind: type[TritonClasError]
) -> None:
    service.answers["ModelInfer"] = refuse(code, message)
    with pytest.raises(kind, match=message) as caught:
        classifier.classify(image(1))
    assert (caught.value.model, caught.value.endpoint, caught.value.attempts) == (MODEL, classifier.url, 1)
    assert isinstance(caught.value.__cause__.__cause__, grpc.RpcError)
    assert len(service.requests) == 1


def test_nobody_there(nobody: str, connect: Connect) -> None:
    with pytest.raises(ServerUnavailable, match="no server listens"):
        connect(nobody).classify(image(1))


def test_a_closed_classifier_says_so(classifier: Classifier) -> None:
    classifier.classify(image(1))
    classifier.close()
    classifier.close()
    with pytest.raises(TritonClasError, match="closed"):
        classifier.classify(image(1))


def test_closing_ends_what_is_under_way(service: Service, classifier: Classifier) -> None:
    hang = service.answers["ModelInfer"] = Hang(infer)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(classifier.classify, image(1))
        assert hang.arrived.wait(10)
        classifier.close()
        assert isinstance(answer.exception(timeout=10), TritonClasError)


@pytest.mark.parametrize("preprocess", ["gpu", None])
def test_where_to_preprocess(connect: Connect, preprocess: Any) -> None:
    with pytest.raises(InvalidRequest, match="must be 'server', 'client' or 'none'"):
        connect("localhost:8001", preprocess=preprocess)
