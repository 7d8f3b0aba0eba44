"""Locust's own command with the project's locustfile, as people run it: against a server whose speed is known."""

from __future__ import annotations

import csv
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.wire import sweeping
from tests.wire.slow_servicer import MODEL, SlowServicer, serving

ROOT = Path(__file__).parents[2]
LATENCY_S = 0.2
USERS = 8
PROGRAM = [sys.executable, "-m", "locust", "-f", "loadtest/locustfile.py"]


class SpreadServicer(SlowServicer):
    """Takes different times for its requests, and keeps them."""

    def __init__(self) -> None:
        self.taken_s: list[float] = []
        self._turns = itertools.cycle((0.02, 0.03, 0.05, 0.05, 0.08, 0.13, 0.21, 0.34))
        super().__init__()

    @property
    def latency_s(self) -> float:
        self.taken_s.append(next(self._turns))
        return self.taken_s[-1]

    @latency_s.setter
    def latency_s(self, _value: float) -> None:
        """It has its own."""


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def own_ports() -> list[str]:
    port = str(free_port())
    return ["--master-bind-host", "127.0.0.1", "--master-bind-port", port, "--master-port", port]


def arguments(url: str, *options: str, users: int = USERS, run_time: str = "2s") -> list[str]:
    shown = [*PROGRAM, "--headless", "--only-summary", "--host", url, "--model", MODEL]
    return [*shown, "--users", str(users), "--spawn-rate", str(users), "--run-time", run_time, *options]


def run(words: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=90, check=False)


@contextmanager
def started(words: list[str]) -> Iterator[subprocess.Popen[str]]:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(words, cwd=ROOT, text=True, start_new_session=True, **pipes)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its own processes, too
        process.communicate()


wait_until = partial(sweeping.wait_until, limit_s=30)


def stays(condition: Callable[[], bool], seconds: float = 2) -> None:
    """Longer than Locust takes between two groups of users that it starts."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert condition()
        time.sleep(0.05)


def figure(prefix: Path) -> dict[str, str]:
    (row,) = csv.DictReader(Path(f"{prefix}_batches.csv").read_text().splitlines())
    return row


def check_spread(servicer: SpreadServicer, row: dict[str, str], batch_size: int) -> None:
    """Every request is in the figures, and the percentiles are the server's, but for the way there and back."""
    assert int(row["requests"]) == len(servicer.taken_s)
    for percent in (50, 90, 95, 99):
        true_ms = 1000 * float(np.percentile(servicer.taken_s, percent, method="inverted_cdf"))
        assert true_ms <= float(row[f"p{percent}_ms"]) <= true_ms + 60
    assert float(row["images_per_s"]) == pytest.approx(batch_size * float(row["requests_per_s"]), rel=0.001)
    possible_per_s = USERS / float(np.mean(servicer.taken_s))
    assert 0.6 * possible_per_s < float(row["requests_per_s"]) < 1.02 * possible_per_s
    assert row["name"] == f"{MODEL} batch {batch_size}"
    assert row["failures"] == "0"


def test_users_are_served_at_the_same_time_and_json_stays_json(tmp_path):
    servicer = SlowServicer(LATENCY_S)
    files = ["--csv", str(tmp_path / "run"), "--html", str(tmp_path / "run.html")]
    with serving(servicer) as url:
        done = run(arguments(url, "--batch-size", "8", "--json", *files))

    assert done.returncode == 0, done.stderr
    (stats,) = json.loads(done.stdout)
    assert (stats["method"], stats["name"], stats["num_failures"]) == ("gRPC", f"{MODEL} batch 8", 0)
    assert servicer.most_at_a_time == USERS
    assert stats["num_requests"] == len(servicer.batches)  # none is given up and taken for an answer
    assert stats["min_response_time"] >= 1000 * LATENCY_S
    row = figure(tmp_path / "run")
    assert int(row["requests"]) == stats["num_requests"]
    assert float(row["requests_per_s"]) == pytest.approx(USERS / LATENCY_S, rel=0.3)
    assert float(row["images_per_s"]) == pytest.approx(8 * float(row["requests_per_s"]), rel=0.001)
    assert re.search(rf"{MODEL} batch 8 +{row['requests']} ", done.stderr)  # the table, out of the way of the JSON
    assert (tmp_path / "run_stats.csv").is_file()
    assert MODEL in (tmp_path / "run.html").read_text()


def test_the_sdks_errors_are_reported(tmp_path):
    with serving(SlowServicer(LATENCY_S, refuse_every=1)) as url:
        done = run(arguments(url, "--csv", str(tmp_path / "run")))

    assert done.returncode == 1
    assert re.search(r"Images *\n.*kinds of failures *\n.*ServerOverloaded \d+", done.stdout)
    row = figure(tmp_path / "run")
    assert row["failure_kinds"] == f"ServerOverloaded {row['requests']}"
    assert (row["p50_ms"], row["images_per_s"]) == ("", "0.000")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--host", "http://localhost:8001"], "'http://localhost:8001' isn't a gRPC endpoint; give HOST:PORT"),
        (["--host", "127.0.0.1:1"], "127.0.0.1:1: no server listens there (connection refused)"),
        (["--images", "loadtest"], "loadtest holds no picture that can be read"),
        (["--batch-size", "0"], "'0' isn't a number of at least 1"),
        (["--batch-size", "16"], f"{MODEL} takes at most 8 images a request; --batch-size is too large"),
        (["--model", "EfficientNetB00"], "there is no model 'EfficientNetB00'; did you mean EfficientNetB0?"),
        (["--model", ""], "--model: give it the name of a model on the server"),
        (["--rate", "-1"], "--rate: -1 isn't a rate"),
        (["--request-timeout", "nan"], "--request-timeout: nan isn't a number of seconds"),
        (["--header", "tenant"], "--header: give NAME=VALUE, or NAME=@FILE"),
        (["--header", "tenant=@missing"], "--header: the file of the header tenant can't be read"),
        (["--ca", "missing.pem"], "the TLS ca missing.pem can't be read"),
        (["--shape", "README.md"], "README.md isn't TOML"),
        (["--processes", "2", "--model", "EfficientNetB4"], "EfficientNetB4 is UNAVAILABLE; load it first"),
        (["--processes", "2", "--images", "loadtest"], "loadtest holds no picture that can be read"),
    ],
)
def test_mistakes_are_told_in_one_line_before_any_request(options, message):
    servicer = SlowServicer()
    with serving(servicer) as url:
        done = run(arguments(url, *own_ports(), *options))

    assert done.returncode not in (0, -9)
    assert sum(message in line for line in done.stderr.splitlines()) == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert not servicer.batches


@pytest.mark.parametrize("given", ["pixels", pytest.param("encoded", marks=pytest.mark.slow)])
def test_processes_have_common_figures(tmp_path, given):
    servicer = SpreadServicer()
    with serving(servicer) as url:
        options = ["--batch-size", "4", "--input", given, "--csv", str(tmp_path / "run"), "--json", "--processes", "2"]
        done = run(arguments(url, *own_ports(), *options, run_time="4s"))

    assert done.returncode == 0, done.stderr
    assert {name for name, _ in servicer.batches} == {f"{MODEL}_net" if given == "pixels" else MODEL}
    check_spread(servicer, figure(tmp_path / "run"), batch_size=4)
    assert isinstance(json.loads(done.stdout), list)


@pytest.mark.slow
def test_requests_that_are_under_way_at_the_end_are_counted_in_all_processes(tmp_path):
    servicer = SlowServicer(3.0)
    with serving(servicer) as url:
        done = run(arguments(url, *own_ports(), "--processes", "2", "--csv", str(tmp_path / "run"), run_time="2s"))

    assert done.returncode == 0, done.stderr
    assert int(figure(tmp_path / "run")["requests"]) == len(servicer.batches) == USERS


@pytest.mark.slow
def test_a_test_that_ends_while_users_still_start_counts_all_requests_and_begins_none_anew(tmp_path):
    servicer = SlowServicer(0.5)
    with serving(servicer) as url:
        options = ["--processes", "2", "--csv", str(tmp_path / "run"), "--spawn-rate", "2"]
        done = run(arguments(url, *own_ports(), *options, users=40, run_time="3s"))

    assert done.returncode == 0, done.stderr
    assert 4 <= servicer.most_at_a_time < 20
    assert int(figure(tmp_path / "run")["requests"]) == len(servicer.batches)


@pytest.mark.slow
def test_workers_of_a_master_are_told_what_to_send(tmp_path):
    servicer = SpreadServicer()
    (tmp_path / "tenant").write_text("secret\n")
    ports = own_ports()
    worker = [*PROGRAM, "--worker", *ports]
    with serving(servicer) as url, started(worker), started(worker):
        options = ["--master", "--expect-workers", "2", "--batch-size", "2", "--csv", str(tmp_path / "run")]
        options += ["--header", f"tenant=@{tmp_path / 'tenant'}"]
        done = run(arguments(url, *ports, *options, run_time="4s"))

    assert done.returncode == 0, done.stderr
    assert servicer.tenants == {"secret"}
    check_spread(servicer, figure(tmp_path / "run"), batch_size=2)


def test_a_worker_that_cannot_do_it_stops_the_test():
    servicer = SlowServicer()
    ports = own_ports()
    with serving(servicer) as url, started([*PROGRAM, "--worker", *ports]) as worker:
        options = ["--master", "--expect-workers", "1", "--model", "EfficientNetB00"]
        done = run(arguments(url, *ports, *options, run_time="60s"))
        _, worker_stderr = worker.communicate(timeout=30)

    for stderr in (done.stderr, worker_stderr):
        assert "there is no model 'EfficientNetB00'; did you mean EfficientNetB0?" in stderr
        assert "Traceback" not in stderr
    assert done.returncode == 1
    assert not servicer.batches


@pytest.mark.slow
def test_a_shape_takes_its_stages(tmp_path):
    (tmp_path / "shape.toml").write_text(
        "[[stage]]\nuntil_s = 2\nusers = 2\n[[stage]]\nuntil_s = 4\nusers = 6\n[[stage]]\nuntil_s = 6\nusers = 1\n"
    )
    servicer = SlowServicer(0.05)
    shape = ["--shape", str(tmp_path / "shape.toml"), "--processes", "2", *own_ports()]
    with serving(servicer) as url:
        begin_s = time.monotonic()
        done = run([*PROGRAM, "--headless", "--only-summary", "--host", url, "--model", MODEL, *shape])

    assert done.returncode == 0, done.stderr
    assert re.findall(r"Shape test updating to (\d+) users", done.stderr) == ["2", "6", "1"]
    assert servicer.most_at_a_time == 6
    assert 6 < time.monotonic() - begin_s < 20


@pytest.mark.parametrize("arrivals", [pytest.param("constant", marks=pytest.mark.slow), "poisson"])
def test_an_open_loop_sends_at_its_rate_whatever_the_latency(tmp_path, arrivals):
    servicer = SlowServicer(0.5)
    with serving(servicer) as url:
        options = ["--rate", "10", "--arrivals", arrivals, "--csv", str(tmp_path / "run")]
        done = run(arguments(url, *options, users=4, run_time="4s"))

    assert done.returncode == 0, done.stderr
    assert len(servicer.batches) == pytest.approx(4 * 10 * 4, rel=0.1 if arrivals == "constant" else 0.4)
    assert int(figure(tmp_path / "run")["requests"]) == len(servicer.batches)
    if arrivals == "constant":
        assert 15 <= servicer.most_at_a_time <= 26  # 20, as Little's law has it: users take turns


def test_users_of_an_open_loop_stop_though_their_next_request_is_far_off():
    with serving(SlowServicer(0.05)) as url:
        begin_s = time.monotonic()
        done = run(arguments(url, "--rate", "0.01", run_time="1s"))

    assert done.returncode == 0, done.stderr
    assert time.monotonic() - begin_s < 15


@pytest.mark.slow
def test_after_a_refusal_by_a_worker_the_web_ui_can_start_another_test():
    servicer, port, ports = SlowServicer(0.05), free_port(), own_ports()
    words = [*PROGRAM, "--web-host", "127.0.0.1", "--web-port", str(port), "--master", *ports, "--model", MODEL]
    with serving(servicer) as url, started([*words, "--host", url]), started([*PROGRAM, "--worker", *ports]):
        ui = WebUi(port)
        wait_until(ui.comes_up)
        wait_until(lambda: json.loads(ui.get("/worker-count"))["worker_count"] == 1)

        assert ui.swarm(model="EfficientNetB00", user_count="30", spawn_rate="2")["success"]  # the master can't know
        wait_until(lambda: ui.state() == "stopped")
        assert "there is no model 'EfficientNetB00'" in ui.get("/exceptions")
        stays(lambda: ui.state() == "stopped")
        assert not servicer.batches
        assert ui.swarm(model=MODEL)["success"]
        wait_until(lambda: bool(servicer.batches))
        ui.post("/stop")
        (row,) = json.loads(ui.get("/images/json"))
        assert row["requests"] == len(servicer.batches)


@pytest.mark.slow
def test_users_that_are_added_to_a_running_test_begin_none_anew_when_its_time_is_over():
    servicer, port = SlowServicer(0.3), free_port()
    words = [*PROGRAM, "--web-host", "127.0.0.1", "--web-port", str(port), *own_ports(), "--processes", "2"]
    with serving(servicer) as url, started([*words, "--host", url, "--model", MODEL]):
        ui = WebUi(port)
        wait_until(ui.comes_up)
        wait_until(lambda: json.loads(ui.get("/worker-count"))["worker_count"] == 2)
        assert ui.swarm()["success"]
        wait_until(lambda: ui.state() == "running")
        assert ui.swarm(user_count="40", spawn_rate="2", run_time="3s")["success"]
        wait_until(lambda: ui.state() == "stopped")
        (row,) = json.loads(ui.get("/images/json"))
        counted = len(servicer.batches)
        stays(lambda: len(servicer.batches) == counted)

    assert 4 <= servicer.most_at_a_time < 20
    assert row["requests"] == counted == len(servicer.batches)


class WebUi:
    """What a browser does."""

    def __init__(self, port: int) -> None:
        self._base = f"http://127.0.0.1:{port}"

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"{self._base}{path}", timeout=10) as answer:
            return answer.read().decode()

    def send(self, path: str, **fields: str) -> str:
        data = urllib.parse.urlencode(fields).encode()
        with urllib.request.urlopen(f"{self._base}{path}", data=data, timeout=20) as answer:
            return answer.read().decode()

    def post(self, path: str, **fields: str) -> dict:
        return json.loads(self.send(path, **fields))

    def swarm(self, **fields: str) -> dict:
        return self.post("/swarm", **{"user_count": "2", "spawn_rate": "2", **fields})

    def state(self) -> str:
        return json.loads(self.get("/stats/requests"))["state"]

    def comes_up(self) -> bool:
        try:
            return bool(self.get("/"))
        except OSError:
            return False


def test_the_web_ui_sends_headers_to_nobody_else_and_reads_no_file(tmp_path):
    servicer, stranger, port = SlowServicer(0.05), SlowServicer(0.05), free_port()
    (tmp_path / "tenant").write_text("swordfish")
    words = [*PROGRAM, "--web-host", "127.0.0.1", "--web-port", str(port), "--header", f"tenant=@{tmp_path / 'tenant'}"]
    with (
        serving(servicer) as url,
        serving(stranger) as elsewhere,
        started([*words, "--host", url, "--model", MODEL]),
    ):
        ui = WebUi(port)
        wait_until(ui.comes_up)
        assert "swordfish" not in ui.get("/")
        assert str(tmp_path) not in ui.get("/")
        for _ in range(2):  # also while a test runs
            for changed in ({"host": elsewhere}, {"header": "x=@/etc/hostname"}, {"tls": "true"}, {"ca": "x"}):
                answer = ui.swarm(**changed)
                assert answer["success"] is False
                assert "start locust anew" in answer["message"]
            assert ui.swarm(batch_size="2")["success"]
        wait_until(lambda: bool(servicer.batches))
    assert servicer.tenants == {"swordfish"}
    assert not stranger.tenants
    assert not stranger.batches


@pytest.mark.parametrize(
    "processes",
    [pytest.param([], id="one process"), pytest.param(["--processes", "2"], id="several", marks=pytest.mark.slow)],
)
def test_the_web_ui_changes_what_is_sent_and_shows_the_figures(processes):
    servicer, port = SlowServicer(0.05), free_port()
    words = [*PROGRAM, "--web-host", "127.0.0.1", "--web-port", str(port), *own_ports(), *processes]
    with serving(servicer) as url, started([*words, "--host", url, "--model", MODEL]) as process:
        ui = WebUi(port)
        wait_until(ui.comes_up)
        wait_until(lambda: not processes or json.loads(ui.get("/worker-count"))["worker_count"] == 2)
        page = ui.get("/")
        for name in ("model", "batch_size", "input", "images", "request_timeout", "rate", "arrivals"):
            assert f'"{name}": {{"choices"' in page or f'"{name}": {{"default_value"' in page
        assert "pixels-shm" in page
        assert '"extended_tabs"' in page

        refusals = {
            ("batch_size", "0"): "--batch-size: 0 isn't a number of at least 1",
            ("batch_size", "many"): "--batch-size: 'many' isn't a number",
            ("batch_size", "9"): f"{MODEL} takes at most 8 images a request; --batch-size is too large",
            ("model", "EfficientNetB4"): "EfficientNetB4 is UNAVAILABLE; load it first",
            ("host", "127.0.0.1:1"): "127.0.0.1:1: no server listens there (connection refused)",
            ("images", "README.md"): "README.md is not a folder; give --images a folder of pictures",
        }
        for (field, value), message in refusals.items():
            answer = ui.swarm(**{field: value})
            assert answer["success"] is False
            assert answer["message"].endswith(message)
        assert not servicer.batches

        assert ui.swarm(batch_size="8", host=url)["success"]
        wait_until(lambda: bool(json.loads(ui.get("/stats/requests"))["extended_stats"][0]["data"]))
        (row,) = json.loads(ui.get("/stats/requests"))["extended_stats"][0]["data"]
        assert row["name"] == f"{MODEL} batch 8"
        assert float(row["images_per_s"]) > 0
        assert set(servicer.batches) == {(MODEL, 8)}
        ui.post("/stop")
        (stopped,) = json.loads(ui.get("/images/json"))
        assert stopped["requests"] == len(servicer.batches)
        assert ui.get("/images/csv").splitlines()[1].startswith(f"{MODEL} batch 8,{stopped['requests']},")

        servicer.batches.clear()
        assert ui.swarm(batch_size="4")["success"]
        wait_until(lambda: bool(json.loads(ui.get("/images/json"))))
        before = len(servicer.batches)
        wait_until(lambda: len(servicer.batches) > before + 40)  # of which workers tell later, every three seconds
        ui.send("/stats/reset")
        begun = len(servicer.batches)
        wait_until(lambda: len(servicer.batches) > begun + 20)
        ui.post("/stop")
        (row,) = json.loads(ui.get("/images/json"))
        assert 10 < row["requests"] <= len(servicer.batches) - begun + 4  # those under way at the time count

        servicer.batches.clear()
        wait_until(lambda: not processes or json.loads(ui.get("/worker-count"))["worker_count"] == 2)
        assert ui.swarm(batch_size="2", input="pixels")["success"]
        wait_until(lambda: bool(servicer.batches))
        ui.post("/stop")
        assert set(servicer.batches) == {(f"{MODEL}_net", 2)}
        (row,) = json.loads(ui.get("/images/json"))
        assert (row["name"], row["requests"]) == (f"{MODEL} batch 2", len(servicer.batches))

        process.terminate()
        stdout, stderr = process.communicate(timeout=30)
    assert "Traceback" not in stderr
    assert f"{MODEL} batch 2" in stdout
