"""Where and how long a client may be used: closing, forking, threads, event loops, cancelled tasks."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.wire.scripted import MODEL, Hang, Service, contents, image, infer
from tritonclas import (
    AsyncClassifier,
    AsyncModelServer,
    Classifier,
    DeadlineExceeded,
    InvalidRequest,
    ModelServer,
    TritonClasError,
)
from tritonclas._exchange import Prepare
from tritonclas._transport import UnderWay

Connect = Callable[..., Classifier]

pytestmark = [
    pytest.mark.timeout(60),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),  # Python 3.12's, of the threads that there are
]


def test_a_closed_client_sends_nothing(service: Service, classifier: Classifier) -> None:
    results = classifier.classify_many([image(1)])
    classifier.close()
    for use in (
        lambda: classifier.classify(image(1)),
        lambda: list(results),
        lambda: classifier.probabilities([image(1)]),
    ):
        with pytest.raises(InvalidRequest, match=r"Classifier\(.*\) is closed; make another one"):
            use()
    assert not service.requests


def in_a_child(work: Callable[[], Any]) -> Any:
    """What the work returns in a forked process, or the error that it raises.

    Now and then Python 3.12.1 crashes in such a process before it comes to the work (in threading._after_fork); then
    another one is forked, once.
    """
    context = multiprocessing.get_context("fork")
    for last in (False, True):
        here, there = context.Pipe(duplex=False)

        def child(there: Any = there) -> None:
            there.send("begun")
            try:
                there.send(work())
            except TritonClasError as error:
                there.send(error)
            os._exit(0)

        process = context.Process(target=child)
        process.start()
        there.close()
        try:
            assert here.poll(30), "the child doesn't begin"
            begun = here.recv()
        except EOFError:
            process.join(10)
            if last:
                raise
            continue
        assert begun == "begun"
        assert here.poll(30), "the child doesn't answer"
        answer = here.recv()
        process.join(10)
        return answer
    raise AssertionError


def test_a_client_doesnt_outlive_a_fork(url: str) -> None:
    with Classifier(url, MODEL) as classifier:
        classifier.classify(image(1))
        error = in_a_child(lambda: classifier.classify(image(1)))
        assert isinstance(error, InvalidRequest)
        assert "was made before this process was forked; make one in each process" in str(error)
        assert classifier.classify(image(2)).top.index == 2


def test_a_forked_process_makes_its_own(url: str) -> None:
    with Classifier(url, MODEL) as classifier:
        classifier.classify(image(1))
    assert in_a_child(lambda: Classifier(url, MODEL).classify(image(2)).top.index) == 2


def test_an_async_client_doesnt_outlive_a_fork(url: str) -> None:
    client = AsyncClassifier(url, MODEL)
    error = in_a_child(lambda: asyncio.run(client.classify(image(1))))
    assert isinstance(error, InvalidRequest)
    assert "forked" in str(error)


def test_an_async_client_belongs_to_one_event_loop(url: str) -> None:
    client = AsyncClassifier(url, MODEL)

    async def use() -> int:
        return (await client.classify(image(5))).top.index

    with contextlib.closing(asyncio.new_event_loop()) as loop:
        assert loop.run_until_complete(use()) == 5
        with pytest.raises(InvalidRequest, match="belongs to the event loop that used it first"):
            asyncio.run(use())
        loop.run_until_complete(client.close())


@pytest.mark.parametrize("kind", [AsyncClassifier, AsyncModelServer])
def test_async_clients_can_be_made_anywhere_and_closed_unused(kind: type[Any]) -> None:
    client = kind("localhost:8001", *([MODEL] if kind is AsyncClassifier else []))
    asyncio.run(client.close())


async def hanging(client: AsyncClassifier, hang: Hang) -> asyncio.Future[Any]:
    """A task whose request has arrived at the server, and isn't answered."""
    task = asyncio.ensure_future(client.classify(image(1)))
    await asyncio.to_thread(hang.arrived.wait, 10)
    return task


def test_a_cancelled_task_cancels_its_request(service: Service, url: str) -> None:
    gone = threading.Event()
    hang = Hang(infer)

    def answer(request: Any, context: Any) -> Any:
        context.add_callback(gone.set)
        return hang(request, context)

    service.answers["ModelInfer"] = answer

    async def cancel() -> None:
        async with AsyncClassifier(url, MODEL) as client:
            task = await hanging(client, hang)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(gone.wait, 10), "the server still works on it"

    try:
        asyncio.run(cancel())
    finally:
        hang.release()


def test_cancelling_and_closing_at_once_is_a_cancellation(service: Service, url: str) -> None:
    hang = service.answers["ModelInfer"] = Hang(infer)

    async def cancel() -> bool:
        async with AsyncClassifier(url, MODEL) as client:
            task = await hanging(client, hang)
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return task.cancelled()

    try:
        assert asyncio.run(cancel())
    finally:
        hang.release()


def test_work_that_is_dropped_by_closing_is_no_cancellation(url: str) -> None:
    """Its caller isn't cancelled, and mustn't think so."""
    free = threading.Event()

    class Slow:
        def read(self) -> bytes:
            free.wait(30)
            return image(1)

    async def close() -> list[Any]:
        client = AsyncClassifier(url, MODEL)
        tasks = [asyncio.ensure_future(client.classify(Slow())) for _ in range(50)]
        await asyncio.sleep(0.05)
        await client.close()
        free.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    for error in asyncio.run(close()):
        assert isinstance(error, InvalidRequest)
        assert "closed" in str(error)


def test_many_begun_before_a_fork_say_so_in_the_child(url: str) -> None:
    with Classifier(url, MODEL) as classifier:
        results = classifier.classify_many(map(image, range(50)), batch_size=1)
        next(results)
        assert "forked" in str(in_a_child(lambda: list(results)))
        assert len(list(results)) == 49


def test_a_forked_process_leaves_alone_what_is_under_way_in_its_parent(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads that it doesn't have may hold the locks, and it would wait for them for ever."""

    def never(under_way: UnderWay) -> None:
        raise RuntimeError("given up in the child")

    def work() -> list[Any]:
        monkeypatch.setattr(UnderWay, "give_up", never)
        return list(results)

    with Classifier(url, MODEL) as classifier:
        results = classifier.classify_many(map(image, range(50)), batch_size=1)
        next(results)
        assert "forked" in str(in_a_child(work))


@pytest.mark.parametrize("shared_memory", [False, True])
def test_the_end_of_a_client_in_a_child_is_none_for_its_parent(url: str, shared_memory: bool) -> None:
    with Classifier(url, MODEL, shared_memory=shared_memory) as classifier:
        classifier.classify(image(1))
        assert in_a_child(classifier.close) is None
        assert classifier.classify(image(2)).top.index == 2


def test_nothing_is_read_for_a_call_whose_time_is_over(classifier: Classifier) -> None:
    class Picture:
        reads = 0

        def read(self) -> bytes:
            self.reads += 1
            return image(1)

    picture = Picture()
    with pytest.raises(DeadlineExceeded):
        classifier.classify(picture, timeout_s=0.0)
    assert picture.reads == 0


def test_leaving_early_cancels_what_is_under_way(service: Service, classifier: Classifier) -> None:
    """The server is told, so that it needn't answer; nothing else is sent."""
    cancelled = threading.Semaphore(0)
    hang = Hang(infer)

    def answer(request: Any, context: Any) -> Any:
        if contents(request) == [b"0"]:
            return infer(request, context)
        context.add_callback(cancelled.release)
        return hang(request, context)

    service.answers["ModelInfer"] = answer
    results = classifier.classify_many(map(image, range(100)), batch_size=1, in_flight=4)
    try:
        assert next(results).top.index == 0
        assert hang.arrived.wait(10)
        asked = len(service.requests)
        results.close()
        for _ in range(asked - 1):
            assert cancelled.acquire(timeout=10), "the server still works on it"
    finally:
        hang.release()
    assert len(service.requests) <= 5


def test_images_may_come_asynchronously(url: str) -> None:
    async def arriving() -> AsyncIterator[bytes]:
        for number in range(20):
            await asyncio.sleep(0)
            yield image(number)

    async def classify() -> list[int]:
        async with AsyncClassifier(url, MODEL) as client:
            results = client.classify_many(arriving(), batch_size=3)
            return [result.top.index async for result in results]  # type: ignore[union-attr]

    assert asyncio.run(classify()) == list(range(20))


def test_reading_and_decoding_happen_off_the_event_loop(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = set()

    class Picture:
        def read(self) -> bytes:
            threads.add(threading.current_thread())
            return image(3)

    async def classify() -> int:
        async with AsyncClassifier(url, MODEL) as client:
            return (await client.classify(Picture())).top.index

    assert asyncio.run(classify()) == 3
    assert threading.main_thread() not in threads
    assert not any(thread.is_alive() for thread in threads)


def test_closing_ends_a_task_that_was_about_to_read(service: Service, url: str) -> None:
    """Its configuration came after the client was closed, or never."""
    hang = service.answers["ModelConfig"] = Hang(service.answers["ModelConfig"])

    async def close() -> None:
        client = AsyncClassifier(url, MODEL, preprocess="client")
        task = asyncio.ensure_future(client.classify(image(1)))
        await asyncio.to_thread(hang.arrived.wait, 10)
        await client.close()
        with pytest.raises(InvalidRequest, match="the client was closed"):
            await task
        with pytest.raises(InvalidRequest, match="the client was closed"):
            await client._workers.do(Prepare(lambda: None))

    try:
        asyncio.run(close())
    finally:
        hang.release()


def test_many_tasks_share_a_client(service: Service, url: str) -> None:
    async def classify() -> list[int]:
        async with AsyncClassifier(url, MODEL) as client:
            answers = await asyncio.gather(*(client.classify(image(number)) for number in range(200)))
            return [answer.top.index for answer in answers]

    assert asyncio.run(classify()) == list(range(200))


def test_server_clients_close_too(url: str) -> None:
    async def close() -> None:
        client = AsyncModelServer(url)
        assert await client.live()
        await client.close()
        await client.close()
        with pytest.raises(InvalidRequest, match=r"AsyncModelServer\(.*\) is closed"):
            await client.live()

    asyncio.run(close())
    with ModelServer(url) as control:
        assert control.live()
    with pytest.raises(InvalidRequest, match=r"ModelServer\(.*\) is closed"):
        control.live()
