"""`tritonclas stats --watch` against a scripted server: what a user sees while a server lives, goes and comes back."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2 as pb

from tests.runner import command_runner
from tests.wire.scripted import MODEL, Service, refuse
from tritonclas.cli import main

NETWORK = f"{MODEL}_net"
GONE = refuse(grpc.StatusCode.UNAVAILABLE, "Server not ready")
DENIED = refuse(grpc.StatusCode.UNAVAILABLE, "This protocol is restricted, expecting header 'key'")


def counted(name: str, requests: int, failures: int = 0) -> pb.ModelStatistics:
    """A model that has answered so many requests, of two images and 5 ms each."""
    success = pb.StatisticDuration(count=requests, ns=requests * 5_000_000)
    failed = pb.StatisticDuration(count=failures)
    return pb.ModelStatistics(
        name=name,
        version="1",
        inference_count=2 * requests,
        execution_count=requests,
        inference_stats=pb.InferStatistics(success=success, fail=failed),
    )


def script(service: Service, *answers: Any) -> None:
    """Readings in their order, the last one for ever: models, or a refusal."""
    left = list(answers)

    def answer(request: Any, context: Any) -> Any:
        now = left.pop(0) if len(left) > 1 else left[0]
        return now(request, context) if callable(now) else pb.ModelStatisticsResponse(model_stats=now)

    service.answers["ModelStatistics"] = answer


@contextmanager
def watching(*arguments: str, stdout: int = subprocess.PIPE) -> Iterator[subprocess.Popen[str]]:
    """The command under way."""
    command = [sys.executable, "-m", "tritonclas", "stats", *arguments]
    with subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def lines_of(process: subprocess.Popen[str], count: int) -> list[Any]:
    """The next intervals."""
    assert process.stdout
    return [json.loads(process.stdout.readline()) for _ in range(count)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_line_for_each_interval_until_it_is_ended(service: Service, url: str, number: signal.Signals) -> None:
    script(service, [counted(NETWORK, 10)], [counted(NETWORK, 30, failures=10)], [counted(NETWORK, 30, failures=10)])
    with watching("--url", url, "--json", "--watch", "0.2") as process:
        first, second = lines_of(process, 2)
        process.send_signal(number)
        assert process.communicate(timeout=20)[1] == ""
    assert process.returncode == 0
    (model,) = first["models"]
    assert model["requests_per_s"] * first["seconds"] == pytest.approx(20, rel=0.02)
    assert model["images_per_s"] == pytest.approx(2 * model["requests_per_s"], rel=0.01)
    assert model["failures_per_s"] == pytest.approx(model["requests_per_s"] / 2, rel=0.01)
    assert (model["images_at_once"], model["total_ms"], model["queue_ms"]) == (2, 5, 0)
    (idle,) = second["models"]
    assert (idle["requests_per_s"], idle["images_at_once"], idle["total_ms"]) == (0, None, None)


def test_what_goes_and_comes_back(service: Service, url: str) -> None:
    both = [counted(MODEL, 4, failures=8), counted(NETWORK, 4)]
    script(service, [counted(NETWORK, 100)], GONE, both, [counted(NETWORK, 4)], [])
    with watching("--url", url, "--json", "--watch", "0.2") as process:
        away, back, less, none = lines_of(process, 4)
    assert (away["models"], "Server not ready" in away["error"]) == ([], True)
    assert "error" not in back
    ensemble, network = back["models"]
    assert back["seconds"] > 0.35  # since the last reading, not since the failure
    for model in (ensemble, network):  # the one is new, the other was started anew
        assert model["requests_per_s"] * back["seconds"] == pytest.approx(4, rel=0.02)
    assert ensemble["failures_per_s"] * back["seconds"] == pytest.approx(4, rel=0.02)  # Triton counts each twice
    assert [model["name"] for model in less["models"]] == [NETWORK]
    assert none["models"] == []


def test_tables_one_after_the_other_where_nobody_looks(service: Service, url: str) -> None:
    script(service, [counted(NETWORK, 10)], [counted(NETWORK, 30)], GONE)
    with watching(NETWORK, "--url", url, "--watch", "0.2") as process:
        assert process.stdout
        lines = [process.stdout.readline() for _ in range(4)]
    assert " · 0.2 s" in lines[0]
    assert lines[1].split()[:3] == ["model", "req/s", "img/s"]
    assert lines[2].split()[0] == NETWORK
    assert lines[2].split()[4:6] == ["2.0", "5.00"]
    assert "no statistics: " in lines[3]


def test_a_terminal_is_written_over_and_gets_its_cursor_back(service: Service, url: str) -> None:
    script(service, [counted(NETWORK, 10)], [counted(NETWORK, 30)])
    ours, its = pty.openpty()
    try:
        with watching("--url", url, "--watch", "0.2", stdout=its) as process:
            os.close(its)
            shown = read_until(ours, lambda text: text.count("req/s") > 2)
            process.send_signal(signal.SIGTERM)
            shown += read_until(ours, lambda text: "\x1b[?25h" in text)
            assert process.wait(20) == 0
    finally:
        os.close(ours)
    assert "\x1b[?25l" in shown  # the cursor is hidden, lines go up again
    assert "\x1b[1A" in shown


def read_until(terminal: int, enough: Callable[[str], bool]) -> str:
    text = ""
    while not enough(text):
        text += os.read(terminal, 4096).decode()
    return text


def test_what_is_wrong_at_the_first_reading_ends_it(service: Service, url: str, nobody: str) -> None:
    for arguments, said in ((("--url", nobody), "no server listens there"), (("--url", url), "restricted")):
        service.answers["ModelStatistics"] = DENIED
        result = command_runner().invoke(main, ["stats", "--watch", "0.2", *arguments])
        assert (result.exit_code, result.stdout) == (1, "")
        assert said in result.stderr
        assert result.stderr.count("\n") == 1


def test_a_key_that_is_refused_later_ends_it(service: Service, url: str) -> None:
    script(service, [counted(NETWORK, 10)], DENIED)
    result = command_runner().invoke(main, ["stats", "--watch", "0.2", "--json", "--url", url])
    assert (result.exit_code, result.stdout) == (1, "")
    assert "restricted" in result.stderr


@pytest.mark.parametrize(
    ("seconds", "said"),
    [("EfficientNetB0", "a model's name comes before --watch"), ("0", "0.1<=x<=86400"), ("nan", "nan")],
)
def test_intervals_that_are_none(seconds: str, said: str) -> None:
    result = command_runner().invoke(main, ["stats", "--watch", seconds, "--url", "localhost:1"])
    assert result.exit_code == 2
    assert said in result.stderr
