"""What a client does about shared memory, whatever the server says to it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2 as pb

from tests.wire.scripted import CROP, MODEL, Hang, Service, image, infer, refuse
from tritonclas import (
    AsyncClassifier,
    Classifier,
    DeadlineExceeded,
    InvalidRequest,
    ServerOverloaded,
    ServerUnavailable,
)
from tritonclas import _shared_memory as shared
from tritonclas._shared_memory import FOLDER, PREFIX

Connect = Callable[..., Classifier]

INTERNAL = grpc.StatusCode.INTERNAL
INVALID = grpc.StatusCode.INVALID_ARGUMENT


class Mapped:
    """A server that maps regions: what Triton does with them, in Python."""

    def __init__(self, service: Service) -> None:
        self.regions: dict[str, str] = {}
        self.placed: list[tuple[str, int]] = []
        service.answers |= {
            "SystemSharedMemoryRegister": self._register,
            "SystemSharedMemoryUnregister": self._unregister,
            "SystemSharedMemoryStatus": self._status,
            "ModelInfer": self.infer,
        }

    def infer(self, request: Any, context: Any) -> Any:
        tensor = request.inputs[0]
        if tensor.parameters["shared_memory_region"].string_param:
            region, offset, size = (
                getattr(tensor.parameters[f"shared_memory_{what}"], kind)
                for what, kind in (("region", "string_param"), ("offset", "int64_param"), ("byte_size", "int64_param"))
            )
            if region not in self.regions:
                context.abort(grpc.StatusCode.NOT_FOUND, f"Unable to find shared memory region: '{region}'")
            self.placed.append((region, offset))
            with (FOLDER / self.regions[region].removeprefix("/")).open("rb") as file:
                file.seek(offset)
                content = file.read(size)
            request = pb.ModelInferRequest(inputs=request.inputs, outputs=request.outputs, raw_input_contents=[content])
        return infer(request, context)

    def _register(self, request: Any, context: Any) -> Any:
        if request.name in self.regions:
            context.abort(grpc.StatusCode.ALREADY_EXISTS, f"shared memory region '{request.name}' already in manager")
        self.regions[request.name] = request.key
        return pb.SystemSharedMemoryRegisterResponse()

    def _unregister(self, request: Any, context: Any) -> Any:
        self.regions.pop(request.name, None)
        return pb.SystemSharedMemoryUnregisterResponse()

    def _status(self, request: Any, context: Any) -> Any:
        status = pb.SystemSharedMemoryStatusResponse.RegionStatus
        return pb.SystemSharedMemoryStatusResponse(regions={name: status(name=name) for name in self.regions})


@pytest.fixture
def mapped(service: Service) -> Mapped:
    """Whatever is written into shared memory is read there."""
    return Mapped(service)


def on_the_wire(service: Service) -> list[int]:
    """How many bytes of images came with each request."""
    return [sum(map(len, request.raw_input_contents)) for request in service.asked("ModelInfer")]


def test_images_go_through_memory(service: Service, mapped: Mapped, connect: Connect, url: str) -> None:
    client = connect(url, shared_memory=True)
    assert client.classify(image(7)).top.index == 7
    assert [result.top.index for result in client.classify_many(map(image, range(20)), batch_size=3)] == list(range(20))  # type: ignore[union-attr]
    assert client.probabilities([image(3)])[0].argmax() == 3
    assert len(service.asked("SystemSharedMemoryRegister")) == 1
    assert len(mapped.placed) == len(service.asked("ModelInfer")) == 9
    client.close()
    assert mapped.regions == {}
    assert not shared.exists(mapped.placed[0][0])


def test_crops_go_through_memory(mapped: Mapped, connect: Connect, url: str) -> None:
    import numpy as np

    client = connect(url, shared_memory=True, preprocess="client")
    assert client.classify(np.full((8, 8, 3), 5, np.uint8)).top.index == 5
    assert len(mapped.placed) == 1


def test_ready_crops_go_through_memory(service: Service, mapped: Mapped, connect: Connect, url: str) -> None:
    import numpy as np

    client = connect(url, shared_memory=True, preprocess="none")
    crops = np.stack([np.full((CROP, CROP, 3), number, np.uint8) for number in range(3)])
    assert client.probabilities(crops).argmax(axis=1).tolist() == [0, 1, 2]
    assert len(mapped.placed) == 1
    assert on_the_wire(service) == [0]


@pytest.mark.parametrize(
    "answer",
    [
        refuse(INTERNAL, "Unable to open shared memory region: '/x'"),
        refuse(INVALID, "no"),
        refuse(grpc.StatusCode.UNIMPLEMENTED, ""),
        refuse(grpc.StatusCode.UNAVAILABLE, "This protocol is restricted, expecting header"),
    ],
    ids=["elsewhere", "invalid", "not offered", "restricted"],
)
def test_a_server_that_shares_no_memory_gets_images_as_usual(
    service: Service, connect: Connect, url: str, answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    service.answers["SystemSharedMemoryRegister"] = answer
    client = connect(url, shared_memory=True)
    with caplog.at_level(logging.WARNING, "tritonclas"):
        assert [client.classify(image(number)).top.index for number in range(3)] == [0, 1, 2]
    assert len(service.asked("SystemSharedMemoryRegister")) == 1
    assert min(on_the_wire(service)) > 0
    (record,) = caplog.records
    assert f"{url} shares no memory with this process; images go over the connection" in record.message
    assert not list(FOLDER.glob(f"{PREFIX}{os.getpid()}-*"))


def test_a_client_without_shared_memory_gets_by(
    service: Service, connect: Connect, url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setattr(shared, "FOLDER", tmp_path / "none")
    assert connect(url, shared_memory=True).classify(image(1)).top.index == 1
    assert not service.asked("SystemSharedMemoryRegister")


@pytest.mark.usefixtures("mapped")
def test_what_has_no_room_goes_over_the_connection(
    service: Service,
    connect: Connect,
    url: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(shared.Region, "take", lambda region, size: None)
    client = connect(url, shared_memory=True)
    with caplog.at_level(logging.WARNING, "tritonclas"):
        assert [client.classify(image(number)).top.index for number in range(2)] == [0, 1]
    assert min(on_the_wire(service)) > 0
    assert [each.message for each in caplog.records] == [
        f"the memory shared with {url} is full; some images go over the connection"
    ]


def test_a_server_that_was_restarted_is_told_again(
    service: Service, mapped: Mapped, connect: Connect, url: str
) -> None:
    client = connect(url, shared_memory=True)
    client.classify(image(1))
    mapped.regions.clear()
    assert client.classify(image(2)).top.index == 2
    assert len(service.asked("SystemSharedMemoryRegister")) == 2
    assert max(on_the_wire(service)) == 0


def test_a_server_that_never_knows_the_region_gets_images_as_usual(
    service: Service, mapped: Mapped, connect: Connect, url: str
) -> None:
    def forgetful(request: Any, context: Any) -> Any:
        mapped.regions.clear()
        return mapped.infer(request, context)

    service.answers["ModelInfer"] = forgetful
    assert connect(url, shared_memory=True).classify(image(2)).top.index == 2
    assert len(service.asked("ModelInfer")) == 3


def test_a_rejected_image_does_not_hinder_the_others(mapped: Mapped, connect: Connect, url: str) -> None:
    client = connect(url, shared_memory=True)
    first, second, third = client.classify_many([image(1), image("bad"), image(3)], batch_size=3)
    assert (first.top.index, second.reason, third.top.index) == (1, "bad", 3)  # type: ignore[union-attr]


def test_blocks_are_used_again_when_the_server_has_done_with_them(
    service: Service, mapped: Mapped, connect: Connect, url: str
) -> None:
    client = connect(url, shared_memory=True)
    for number in range(3):
        client.classify(image(number))
    service.answers["ModelInfer"] = refuse(grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size")
    with pytest.raises(ServerOverloaded):
        client.classify(image(1))
    service.answers["ModelInfer"] = mapped.infer
    client.classify(image(1))
    assert {offset for _, offset in mapped.placed} == {0}


def test_a_block_that_the_server_may_still_read_is_left_alone(
    service: Service, mapped: Mapped, connect: Connect, url: str
) -> None:
    client = connect(url, shared_memory=True)
    client.classify(image(1))
    hang = service.answers["ModelInfer"] = Hang(mapped.infer)
    with pytest.raises(DeadlineExceeded):
        client.classify(image(2), timeout_s=0.3)
    hang.release()
    service.answers["ModelInfer"] = mapped.infer
    client.classify(image(3))
    assert mapped.placed[-1][1] > 0


def test_what_dead_clients_left_on_the_server_is_removed(mapped: Mapped, connect: Connect, url: str) -> None:
    mapped.regions |= {f"{PREFIX}dead": f"/{PREFIX}dead", "another": "/another"}
    connect(url, shared_memory=True).classify(image(1))
    assert f"{PREFIX}dead" not in mapped.regions
    assert "another" in mapped.regions


def test_other_clients_regions_are_left_alone(mapped: Mapped, connect: Connect, url: str) -> None:
    other = connect(url, shared_memory=True)
    other.classify(image(1))
    connect(url, shared_memory=True).classify(image(2))
    assert len(mapped.regions) == 2
    assert other.classify(image(3)).top.index == 3


def test_only_requests_with_images_count_as_attempts(mapped: Mapped, connect: Connect, url: str) -> None:
    client = connect(url, shared_memory=True)
    assert [client.classify(image(1)).timing.attempts for _ in range(2)] == [1, 1]  # type: ignore[union-attr]


def test_the_end_waits_for_what_is_in_use(service: Service, mapped: Mapped, connect: Connect, url: str) -> None:
    client = connect(url, shared_memory=True)
    client.classify(image(1))
    unregister = service.answers["SystemSharedMemoryUnregister"]
    refusals = iter([True, True])

    def busy(request: Any, context: Any) -> Any:
        if next(refusals, False):
            context.abort(INVALID, "Cannot unregister shared memory region, it is currently in use.")
        return unregister(request, context)

    service.answers["SystemSharedMemoryUnregister"] = busy
    client.close()
    assert mapped.regions == {}


def test_the_end_does_not_wait_for_ever(service: Service, mapped: Mapped, connect: Connect, url: str) -> None:
    client = connect(url, shared_memory=True)
    client.classify(image(1))
    service.answers["SystemSharedMemoryUnregister"] = refuse(INVALID, "it is currently in use.")
    begin_s = time.monotonic()
    client.close()
    assert time.monotonic() - begin_s < 10
    assert not list(FOLDER.glob(f"{PREFIX}{os.getpid()}-*"))


def test_the_end_ends_what_is_under_way(service: Service, mapped: Mapped, connect: Connect, url: str) -> None:
    client = connect(url, shared_memory=True)
    client.classify(image(1))
    hang = service.answers["ModelInfer"] = Hang(mapped.infer)
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(client.classify, image(2))
        assert hang.arrived.wait(10)
        begin_s = time.monotonic()
        client.close()
        with pytest.raises(InvalidRequest, match="was closed"):
            asking.result(10)
        assert time.monotonic() - begin_s < 2
        hang.release()
    assert mapped.regions == {}


def test_threads_that_begin_together_make_one_region(mapped: Mapped, url: str) -> None:
    made: set[str] = set()
    for _ in range(10):
        begin = threading.Barrier(12)
        with Classifier(url, MODEL, shared_memory=True) as client, ThreadPoolExecutor(12) as pool:

            def ask(client: Classifier = client, begin: threading.Barrier = begin) -> None:
                begin.wait(10)
                client.classify(image(1))

            for asking in [pool.submit(ask) for _ in range(12)]:
                asking.result(30)
            made |= mapped.regions.keys()
            assert len(mapped.regions) == 1
        assert mapped.regions == {}
    assert len(made) == 10


def test_threads_that_begin_together_are_warned_once(
    service: Service, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    service.answers["SystemSharedMemoryRegister"] = refuse(INTERNAL, "Unable to open shared memory region")
    begin = threading.Barrier(12)
    with Classifier(url, MODEL, shared_memory=True) as client, ThreadPoolExecutor(12) as pool:

        def ask() -> None:
            begin.wait(10)
            client.classify(image(1))

        for asking in [pool.submit(ask) for _ in range(12)]:
            asking.result(30)
    assert len(caplog.records) == 1
    assert not list(FOLDER.glob(f"{PREFIX}{os.getpid()}-*"))


def test_a_block_of_a_call_that_was_left_is_left_alone(
    service: Service, mapped: Mapped, connect: Connect, url: str
) -> None:
    client = connect(url, shared_memory=True)
    client.classify(image(1))
    hang = Hang(mapped.infer)
    service.answers["ModelInfer"] = lambda request, context: (
        mapped.infer if request.inputs[0].parameters["shared_memory_offset"].int64_param == 0 else hang
    )(request, context)
    results = client.classify_many(map(image, range(8)), batch_size=1, in_flight=3)
    next(results)
    assert hang.arrived.wait(10)
    results.close()
    hang.release()
    service.answers["ModelInfer"] = mapped.infer
    left = {offset for _, offset in mapped.placed if offset}
    before = len(mapped.placed)
    client.classify(image(1))
    client.classify(image(2))
    assert not left & {offset for _, offset in mapped.placed[before:]}


def test_cancelling_a_write_does_not_free_its_block(mapped: Mapped, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread may still be writing when its task is cancelled."""
    writing, go_on = threading.Event(), threading.Event()
    write = shared.Region.write

    def slowly(region: Any, block: Any, parts: Any) -> None:
        if not writing.is_set():
            writing.set()
            assert go_on.wait(10)
        write(region, block, parts)

    monkeypatch.setattr(shared.Region, "write", slowly)
    large = image(5) + bytes(400_000)

    async def cancel() -> Any:
        async with AsyncClassifier(url, MODEL, shared_memory=True) as client:
            task = asyncio.ensure_future(client.classify(large))
            await asyncio.to_thread(writing.wait, 10)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            asking = asyncio.ensure_future(client.classify(image(6) + bytes(400_000)))
            await asyncio.sleep(0.05)
            go_on.set()
            return (await asking).top.index

    assert asyncio.run(cancel()) == 6
    assert mapped.placed[-1][1] > 0


def test_a_server_that_is_gone_is_an_error_as_usual(connect: Connect, nobody: str) -> None:
    with pytest.raises(ServerUnavailable):
        connect(nobody, shared_memory=True, retries=0).classify(image(1))


@pytest.mark.parametrize("endpoints", [["a:1", "b:1"], "dns:///a:1"], ids=str)
def test_it_is_for_one_server(connect: Connect, endpoints: Any) -> None:
    with pytest.raises(InvalidRequest, match="looks after one server"):
        Classifier(endpoints, MODEL, shared_memory=True)
