"""What serving is measured with: the pace of a closed loop, HTTP over raw sockets, and the choice of a strategy."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import page, prepared, strategies
from bench.__main__ import PARTS
from bench.comparison import in_turns
from bench.inprocess import InProcess
from bench.pacing import Duration, pace, rate
from bench.strategies import Strategy
from bench.wire import Connection, Head, head
from tritonclas import zoo


def test_sides_come_in_reverse_every_other_round() -> None:
    done: list[str] = []
    numbers = itertools.count()

    def side(name: str) -> float:
        done.append(name)
        return next(numbers)

    taken = in_turns(2, lambda: side("a"), lambda: side("b"), lambda: side("c"))
    assert "".join(done) == "abccba"
    assert taken == [(0, 5), (1, 4), (2, 3)]


def test_every_part_has_a_heading() -> None:
    header = {"machine": "", "versions": "", "date": ""}
    assert page.markdown(header, dict.fromkeys(PARTS, ())).count("\n## ") == len(PARTS)


@pytest.mark.parametrize(
    ("ends_s", "workers", "expected"),
    [
        pytest.param([0.0, 1.0, 2.0, 3.0], 1, 1.0, id="one worker"),
        pytest.param([0.0, 0.1, 2.0, 2.1, 4.0, 4.1], 2, 1.0, id="two in step, whole turns only"),
        pytest.param([5.0, 5.5, 6.0], 2, 2.0, id="two in turn"),
    ],
)
def test_rate_is_counted_from_end_to_end(ends_s: list[float], workers: int, expected: float) -> None:
    assert rate(ends_s, workers) == pytest.approx(expected)


def test_rate_needs_a_whole_turn() -> None:
    with pytest.raises(ValueError, match="2 pieces of work ended; 2 workers need 3 at least"):
        rate([0.0, 1.0], 2)


def test_pace_of_workers_who_wait() -> None:
    found = pace([lambda: time.sleep(0.01)] * 2, Duration(0.0, 0.1, least=6))
    assert 50 < found.per_s < 201
    assert 10 <= found.p50_ms <= found.p99_ms


def test_pace_goes_on_until_enough_is_done() -> None:
    done: list[int] = []
    pace([lambda: done.append(1)], Duration(0.0, 0.0, least=20))
    assert len(done) >= 21


def test_what_a_worker_raises_ends_all() -> None:
    def fail() -> None:
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError, match="gone"):
        pace([fail, lambda: time.sleep(0.001)], Duration(0.0, 600.0))


@pytest.mark.parametrize(
    ("received", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", Head(200, 43)),
        (b"HTTP/1.1 400 Bad Request\r\ncontent-length:0\r\n\r\n", Head(400, 46)),
        (b"HTTP/1.1 200 OK\r\nInference-Header-Content-Length: 9\r\nContent-Length: 1\r\n\r\n", Head(200, 75)),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", None),
    ],
)
def test_head_of_an_answer(received: bytes, expected: Head | None) -> None:
    assert head(received) == expected


def test_an_answer_without_a_length_is_an_error() -> None:
    with pytest.raises(ValueError, match="without Content-Length"):
        head(b"HTTP/1.1 200 OK\r\nInference-Header-Content-Length: 9\r\n\r\n")


@pytest.fixture
def answers() -> Iterator[tuple[int, list[bytes]]]:
    """The port of a server that sends these pieces of an answer, each for itself, when it is asked."""
    pieces: list[bytes] = []

    def serve() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(1 << 16)
            for piece in pieces:
                connection.sendall(piece)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1], pieces
        thread.join()


def test_a_body_is_read_to_its_end(answers: tuple[int, list[bytes]]) -> None:
    port, pieces = answers
    pieces += [b"HTTP/1.1 200 OK\r\nConte", b"nt-Length: 200000\r\n\r\nab", b"c" * 199998]
    with Connection(port) as connection:
        assert connection.ask(b"GET") == b"ab" + b"c" * 199998


def test_a_refusal_is_an_error(answers: tuple[int, list[bytes]]) -> None:
    port, pieces = answers
    pieces.append(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy")
    with Connection(port) as connection, pytest.raises(ConnectionError, match="status 503: b'busy'"):
        connection.ask(b"GET")


def test_answers_alike_and_not_follow_each_other() -> None:
    answers = [_ok(b"one"), _ok(b"two"), _ok(b"three"), b"HTTP/1.1 503 No\r\nContent-Length: 5\r\n\r\nthree"]
    assert len(answers[-1]) == len(answers[-2])

    def serve() -> None:
        connection, _ = listening.accept()
        with connection:
            for answer in answers:
                connection.recv(1 << 16)
                connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        with Connection(listening.getsockname()[1]) as connection:
            assert [connection.ask(b"GET") for _ in range(3)] == [b"one", b"two", b"three"]
            with pytest.raises(ConnectionError, match="status 503"):
                connection.ask(b"GET")
        thread.join()


def _ok(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def test_an_answer_cut_short_is_an_error(answers: tuple[int, list[bytes]]) -> None:
    port, pieces = answers
    pieces.append(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbu")
    with Connection(port) as connection, pytest.raises(ConnectionError, match="closed the connection"):
        connection.ask(b"GET")


def test_prepared_requests_say_their_lengths() -> None:
    request = prepared.pictures(1, "M", [b"abc", b"de"]).request
    begin, _, body = request.partition(b"\r\n\r\n")
    lengths = {line.split(b": ")[0]: int(line.split(b": ")[1]) for line in begin.split(b"\r\n") if b"Length" in line}
    assert lengths[b"Content-Length"] == len(body)
    assert body[lengths[b"Inference-Header-Content-Length"] :] == b"\x03\0\0\0abc\x02\0\0\0de"


def test_the_best_of_two_trials_counts() -> None:
    slow, fast, unlucky = Strategy(1, 1), Strategy(2, 1), Strategy(1, 2)
    times_s = {slow: iter([3.0, 3.0]), fast: iter([2.0, 2.5]), unlucky: iter([9.0, 1.0])}
    assert strategies.best([slow, fast, unlucky], lambda each: next(times_s[each])) == unlucky


@pytest.mark.parametrize("cores", [1, 2, 8])
def test_strategies_use_all_cores(cores: int) -> None:
    assert all(max(each.workers, each.threads) >= cores for each in strategies.throughput(cores))
    assert {each.workers for each in strategies.latency(cores)} == {1}


def test_a_strategy_says_what_it_does() -> None:
    assert str(Strategy(2, 1, 8, own=True)) == "2 sessions of 1 thread, 2 runs at a time, batch 8"
    assert str(Strategy(1, 2, spinning=True)) == "a session of 2 threads that spin, batch 1"
    assert str(Strategy(1, 2, rewritten=True)) == "a session of 2 threads, batch 1, our graph"


def test_the_rewritten_graph_takes_no_batches() -> None:
    made = strategies.rewritten(strategies.throughput(2))
    assert made
    assert {(each.batch, each.rewritten) for each in made} == {(1, True)}


@pytest.mark.parametrize(("ours_s", "found"), [(0.5, ["ours", "by itself"]), (2.0, ["by itself"])])
def test_the_references_are_the_best_and_the_best_by_itself(
    ours_s: float, found: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    by_itself = Strategy(2, 1)
    times_s = {by_itself: 1.0, Strategy(1, 2): 1.5, Strategy(2, 1, rewritten=True): ours_s}
    monkeypatch.setattr(InProcess, "image_s", lambda self, strategy, duration: times_s.get(strategy, 9.0))
    reference = InProcess("crops", zoo.find("EfficientNetB0"), Path("network.onnx"))
    references = reference.references([by_itself, Strategy(1, 2)], Duration(0, 0))
    assert ["ours" if each.rewritten else "by itself" for each in references] == found
    without = InProcess("crops", zoo.find("ResNeXt101_32x8d_wsl"), Path("network.onnx"))
    assert without.references([by_itself, Strategy(1, 2)], Duration(0, 0)) == [by_itself], "there is nothing to rewrite"
