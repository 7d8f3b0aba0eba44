"""Requests that are sent again, and those that aren't, over real connections that break."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest

from tests.wire.scripted import MODEL, Service, image, infer, refuse, serving, serving_at
from tritonclas import Classifier, InvalidRequest, ModelNotReady, ServerOverloaded, ServerUnavailable

Connect = Callable[..., Classifier]
NOT_LOADED = refuse(grpc.StatusCode.NOT_FOUND, f"Request for unknown model: '{MODEL}' has no available versions")
FULL = refuse(grpc.StatusCode.UNAVAILABLE, "[request id: <id_unknown>] Exceeds maximum queue size")


def then(*answers: Any) -> Any:
    """An answer to each request in turn, the last one for ever."""
    left: list[Any] = list(answers)
    lock = threading.Lock()

    def answer(request: Any, context: grpc.ServicerContext) -> Any:
        with lock:
            following = left.pop(0) if len(left) > 1 else left[0]
        return following(request, context)

    return answer


def test_a_model_that_is_being_loaded_is_asked_again(service: Service, classifier: Classifier) -> None:
    service.answers["ModelInfer"] = then(NOT_LOADED, NOT_LOADED, infer)
    assert classifier.classify(image(7)).top.index == 7
    requests = service.asked("ModelInfer")
    timeouts = [request.parameters["timeout"].int64_param for request in requests]
    assert len(timeouts) == 3
    assert timeouts == sorted(timeouts, reverse=True)


def test_one_that_stays_unloaded_is_an_error(service: Service, classifier: Classifier) -> None:
    service.answers["ModelInfer"] = NOT_LOADED
    with pytest.raises(ModelNotReady) as caught:
        classifier.classify(image(7))
    assert caught.value.attempts == len(service.requests) == 4


def test_an_overloaded_server_is_not_asked_again_and_says_why(service: Service, classifier: Classifier) -> None:
    service.answers["ModelInfer"] = then(FULL, infer)
    with pytest.raises(ServerOverloaded, match="Exceeds maximum queue size"):
        classifier.classify(image(7))
    assert len(service.requests) == 1


def test_the_configuration_is_asked_for_again_too(service: Service, connect: Connect, url: str) -> None:
    service.answers["ModelConfig"] = then(NOT_LOADED, service.answers["ModelConfig"])
    assert connect(url).max_batch_size() == 8


def test_without_retries_the_first_failure_is_raised(service: Service, connect: Connect, url: str) -> None:
    service.answers["ModelInfer"] = then(NOT_LOADED, infer)
    with pytest.raises(ModelNotReady):
        connect(url, retries=0).classify(image(7))
    assert len(service.requests) == 1


@pytest.mark.parametrize("retries", [-1, 1001])
def test_a_number_of_retries_that_makes_no_sense_is_refused(connect: Connect, retries: int) -> None:
    with pytest.raises(InvalidRequest, match=f"retries is {retries}; it must be from 0 to 1000"):
        connect("localhost:8001", retries=retries)


@pytest.fixture
def restarted() -> Iterator[tuple[str, Callable[[], Service]]]:
    """A server that dies with the first request in its hands, and another that can be started in its place."""
    dying, fresh = Service(), Service()
    with serving(dying) as endpoint:
        pass
    port = int(endpoint.rpartition(":")[2])
    stop = threading.Event()
    done: list[threading.Thread] = []

    def serve() -> None:
        with serving_at(fresh, port):
            stop.wait(30)

    def start() -> Service:
        done.append(threading.Thread(target=serve))
        done[0].start()
        return fresh

    yield endpoint, start
    stop.set()
    for thread in done:
        thread.join()


def test_a_server_that_comes_up_meanwhile_answers(
    restarted: tuple[str, Callable[[], Service]], connect: Connect
) -> None:
    endpoint, start = restarted
    classifier = connect(endpoint, retries=100, timeout_s=20)
    threading.Timer(0.3, start).start()
    assert classifier.classify(image(7)).top.index == 7


def test_a_connection_that_is_lost_before_the_answer_is_made_again(connect: Connect) -> None:
    """The request has arrived; the server ends with it unanswered, and another takes its place."""
    dying, fresh = Service(), Service()
    arrived, lost = threading.Event(), threading.Event()

    def hold(request: Any, context: grpc.ServicerContext) -> Any:
        arrived.set()
        lost.wait(30)
        return infer(request, context)

    dying.answers["ModelInfer"] = hold
    answers: list[Any] = []
    with serving(dying) as endpoint:
        classifier = connect(endpoint, retries=100, timeout_s=20)
        asking = threading.Thread(target=lambda: answers.append(classifier.classify(image(7))))
        asking.start()
        assert arrived.wait(10)
        threading.Timer(0.1, lost.set).start()
    with serving_at(fresh, int(endpoint.rpartition(":")[2])):
        asking.join(20)
    assert [answer.top.index for answer in answers] == [7]
    assert (len(dying.asked("ModelInfer")), len(fresh.asked("ModelInfer"))) == (1, 1)


def test_many_that_are_under_way_when_a_connection_is_lost_all_get_an_answer(connect: Connect) -> None:
    dying, fresh = Service(), Service()
    with serving(dying) as endpoint:
        classifier = connect(endpoint, retries=100, timeout_s=20)
        results = classifier.classify_many(map(image, range(64)), batch_size=1, in_flight=16)
        found = [next(results).top.index]
    with serving_at(fresh, int(endpoint.rpartition(":")[2])):
        found += [result.top.index for result in results]
    assert found == list(range(64))
    assert fresh.asked("ModelInfer")


def test_nobody_there_is_an_error_soon(nobody: str, connect: Connect) -> None:
    with pytest.raises(ServerUnavailable) as caught:
        connect(nobody).classify(image(1))
    assert caught.value.attempts == 4
