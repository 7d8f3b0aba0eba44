"""When a request is sent again: what for, how often, after how long, and how many at most."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.test_core import URL, World
from tritonclas import errors
from tritonclas._exchange import Call, Deadline, Exchange, Rpc, RpcFault
from tritonclas._faults import CLOSED
from tritonclas._retry import Retries, limit_for
from tritonclas.errors import TritonClasError

LOST = RpcFault("UNAVAILABLE", "Socket closed")
NOT_LOADED = RpcFault("NOT_FOUND", "Request for unknown model: 'X' has no available versions")
FULL = RpcFault("UNAVAILABLE", "Exceeds maximum queue size")


def call_of(world: World, retries: Retries | None, timeout_s: float = 100.0) -> Call:
    return Call(URL, Deadline.after(timeout_s, lambda: world.now), "X", retries)


def ask(call: Call) -> Exchange[Any]:
    return call.rpc_in_time("ModelInfer", lambda left_s: f"{left_s:g} s left")


def script(*answers: Any) -> Callable[[Rpc], Any]:
    """Answers in turn, the last one for ever."""
    left = list(answers)
    return lambda rpc: left.pop(0) if len(left) > 1 else left[0]


@pytest.mark.parametrize("fault", [LOST, NOT_LOADED], ids=["lost", "not loaded"])
def test_what_may_pass_is_tried_again(fault: RpcFault) -> None:
    world = World(script(fault, fault, "answer"))
    call = call_of(world, Retries(3, lambda: 1.0))
    assert world.drive(ask(call)) == "answer"
    assert world.pauses == [0.1, 0.2]
    assert call.attempts == 3


KINDS = [
    ("UNAVAILABLE", "Exceeds maximum queue size", errors.ServerOverloaded),
    ("UNAVAILABLE", "Request timeout expired", errors.ServerOverloaded),
    ("UNAVAILABLE", "This protocol is restricted, expecting header 'key'", errors.AccessDenied),
    ("NOT_FOUND", "Request for unknown model: 'X' is not found", errors.ModelNotFound),
    ("DEADLINE_EXCEEDED", "no answer within the deadline", errors.DeadlineExceeded),
    ("INVALID_ARGUMENT", "unexpected shape", errors.InvalidRequest),
    ("RESOURCE_EXHAUSTED", "too large", errors.InvalidRequest),
    ("INTERNAL", "CUDA out of memory", errors.ServerError),
    ("CANCELLED", CLOSED, errors.InvalidRequest),
]


@pytest.mark.parametrize(("code", "message", "kind"), KINDS, ids=[f"{code} {message}" for code, message, _ in KINDS])
def test_everything_else_is_raised_at_once(code: str, message: str, kind: type[TritonClasError]) -> None:
    world = World(script(RpcFault(code, message)))
    call = call_of(world, Retries(3))
    with pytest.raises(kind, match=message):
        world.drive(ask(call))
    assert (call.attempts, world.pauses) == (1, [])


@pytest.mark.parametrize("limit", [0, 1, 3, 7])
def test_not_more_often_than_the_caller_wants(limit: int) -> None:
    world = World(script(LOST))
    call = call_of(world, Retries(limit))
    with pytest.raises(errors.ServerUnavailable) as caught:
        world.drive(ask(call))
    assert caught.value.attempts == call.attempts == len(world.rpcs) == limit + 1


def test_the_server_clients_send_nothing_again() -> None:
    world = World(script(LOST))
    with pytest.raises(errors.ServerUnavailable):
        world.drive(ask(call_of(world, None)))
    assert len(world.rpcs) == 1


def test_pauses_double_up_to_two_seconds_and_are_random() -> None:
    world = World(script(LOST))
    with pytest.raises(errors.ServerUnavailable):
        world.drive(ask(call_of(world, Retries(8, lambda: 1.0))))
    assert world.pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0]
    pauses = [Retries(1).pause_s(errors.ServerUnavailable, 1, 9.0) or 0.0 for _ in range(200)]
    assert 0 <= min(pauses) < 0.02
    assert 0.08 < max(pauses) <= 0.1


def test_the_deadline_is_of_all_attempts_together_and_the_server_is_told_what_is_left() -> None:
    world = World(script(LOST), request_s=1.0)
    call = call_of(world, Retries(9, lambda: 1.0), timeout_s=3.5)
    with pytest.raises(errors.ServerUnavailable, match="connection was closed") as caught:
        world.drive(ask(call))
    assert [rpc.request for rpc in world.rpcs] == ["3.5 s left", "2.4 s left", "1.2 s left"]
    assert [rpc.timeout_s for rpc in world.rpcs] == pytest.approx([3.5, 2.4, 1.2])
    assert caught.value.attempts == 3
    assert world.now <= 1003.5


def test_an_outage_makes_a_hundred_requests_more_at_once_and_then_ten_a_second() -> None:
    now = 1000.0
    retries = Retries(1, lambda: 0.0, lambda: now)
    pauses = [retries.pause_s(errors.ServerUnavailable, 1, 60.0) for _ in range(150)]
    assert pauses[:100] == [pytest.approx(0.0, abs=1e-6)] * 100
    assert pauses[100:] == [pytest.approx(0.1 * place) for place in range(1, 51)]
    now += 15.0
    assert retries.pause_s(errors.ServerUnavailable, 1, 60.0) == pytest.approx(0.0, abs=1e-6)


def test_a_retry_that_would_come_too_late_takes_nobodys_place() -> None:
    retries = Retries(1, lambda: 0.0, lambda: 1000.0)
    for _ in range(100):
        retries.pause_s(errors.ServerUnavailable, 1, 60.0)
    assert [retries.pause_s(errors.ServerUnavailable, 1, 0.05) for _ in range(50)] == [None] * 50
    assert retries.pause_s(errors.ServerUnavailable, 1, 60.0) == pytest.approx(0.1)


def test_the_retries_to_several_servers_outlast_the_end_of_one_whatever_the_pauses_by_chance() -> None:
    """One that was told to end answers for a second that it has no models."""
    limit = limit_for(["a:1", "b:1"], 3)
    retries = Retries(limit, lambda: 0.0)
    pauses = [retries.pause_s(errors.ModelNotReady, tried, 60.0) or 0.0 for tried in range(1, limit + 1)]
    assert pauses[:2] == [0.0, 0.0]
    assert sum(pauses) > 2.0


def test_a_thousandth_retry_has_a_pause_too() -> None:
    assert Retries(1000, lambda: 1.0).pause_s(errors.ServerUnavailable, 1000, 9.0) == 2.0


@pytest.mark.parametrize(
    ("url", "limit"),
    [("a:8001", 3), (["a:8001"], 3), (["a:8001", "a:8001"], 3), (["a:8001", "b:8001"], 6), ("dns:///a:8001", 6)],
)
def test_among_several_servers_one_may_be_about_to_end(url: str | list[str], limit: int) -> None:
    assert limit_for(url, 3) == limit
    assert limit_for(url, 0) == 0
