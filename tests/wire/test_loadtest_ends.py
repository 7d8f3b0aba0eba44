"""Sweeps that don't come to their end: what was measured is kept, and nothing stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import ExitStack, contextmanager

import psutil
import pytest

from tests.wire.slow_servicer import MODEL, SlowServicer, serving
from tests.wire.sweeping import ROOT, command, results, wait_until

#: Longer than a sweep that is to end may take, shorter than a request's timeout.
LONG_S = 50.0
SOON_S = 8.0
#: A server that was asked nothing for so long isn't asked any more: users who are answered ask again at once.
QUIET_S = 1.0


class HangingServicer(SlowServicer):
    """Quick, but for `hang`: then the next request takes long, and if it says so all that follow."""

    hang: str | None = None
    asked_s = 0.0

    def is_quiet(self) -> bool:
        """Whether no request comes in any more."""
        return time.monotonic() > self.asked_s + QUIET_S

    def _service_s(self) -> float:
        self.asked_s = time.monotonic()
        if self.hang == "once":
            self.hang = None
            return LONG_S
        return LONG_S if self.hang else self.latency_s


@contextmanager
def sweeping(url: str, out, **options: str):
    """A sweep whose first cell is measured, and whose second (batch 8) has begun or soon will."""
    arguments = command(url, out=str(out), **{"batch_sizes": "1,8", "users": "2", "duration": "0.4", **options})
    process = subprocess.Popen(
        arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        wait_until((out / "results.json").exists)
        yield process
    finally:
        process.kill()
        process.communicate()


def stopped(process: subprocess.Popen[str], number: signal.Signals) -> tuple[str, str]:
    """What it said, once it has ended after a signal as from a terminal, which it must soon, and its generators too."""
    generators = psutil.Process(process.pid).children()
    assert generators
    begin = time.monotonic()
    os.killpg(process.pid, number)
    stdout, stderr = process.communicate(timeout=60)
    assert time.monotonic() - begin < SOON_S
    assert "Traceback" not in stderr
    assert not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in generators)
    return stdout, stderr


def first_cell_is_kept(out, stdout: str) -> None:
    (cell,) = results(out)["cells"]
    assert (cell["batch_size"], cell["users"]) == (1, 2)
    assert MODEL in stdout
    assert (out / "report.md").is_file()


@pytest.mark.parametrize(
    ("hang", "stop"),
    [
        ("all", signal.SIGINT),
        pytest.param("all", signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param("once", signal.SIGINT, marks=pytest.mark.slow),
    ],
    ids=["Ctrl-C", "SIGTERM", "Ctrl-C while the last request is awaited"],
)
def test_what_was_measured_before_it_was_stopped_is_kept_and_reported(tmp_path, hang, stop):
    servicer = HangingServicer(0.02)
    with serving(servicer) as url, sweeping(url, tmp_path) as process:
        wait_until(lambda: (MODEL, 8) in servicer.batches)
        servicer.hang = hang
        wait_until(servicer.is_quiet)
        stdout, stderr = stopped(process, stop)

    assert process.returncode == 130
    assert stderr.strip().endswith("interrupted; the same command with --resume goes on with what is left")
    first_cell_is_kept(tmp_path, stdout)


@pytest.mark.slow
def test_a_sweep_that_replaces_another_and_is_stopped_leaves_none_of_its_cells(tmp_path):
    servicer = HangingServicer(0.02)
    with serving(servicer) as url:
        with sweeping(url, tmp_path) as process:
            process.communicate(timeout=60)
        before = (tmp_path / "results.json").read_text()
        servicer.hang = "all"
        replacing = subprocess.Popen(command(url, out=str(tmp_path)), cwd=ROOT, start_new_session=True)
        wait_until(lambda: not (tmp_path / "results.json").exists())
        replacing.send_signal(signal.SIGTERM)
        replacing.communicate(timeout=30)

    assert len(before) > 1000
    assert not (tmp_path / "results.json").exists()


def test_a_generator_that_dies_ends_the_sweep_with_one_line(tmp_path):
    servicer = HangingServicer(0.02)
    with serving(servicer) as url, sweeping(url, tmp_path) as process:
        wait_until(lambda: (MODEL, 8) in servicer.batches)
        (generator,) = psutil.Process(process.pid).children()
        generator.kill()
        stdout, stderr = process.communicate(timeout=30)

    assert process.returncode == 1
    assert "Error: a generator process ended by itself, with status -9" in stderr
    assert "Traceback" not in stderr
    first_cell_is_kept(tmp_path, stdout)


def test_a_server_that_dies_ends_the_sweep_at_its_first_cell_without_an_answer(tmp_path):
    servicer = HangingServicer(0.02)
    with ExitStack() as server:
        url = server.enter_context(serving(servicer))
        with sweeping(url, tmp_path, batch_sizes="1,8,4,2") as process:
            wait_until(lambda: (MODEL, 8) in servicer.batches)
            server.close()
            stdout, stderr = process.communicate(timeout=60)

    assert process.returncode == 1
    assert "the server doesn't answer any more; when it does, --resume goes on with what is left" in stderr
    cells = results(tmp_path)["cells"]
    assert [cell["batch_size"] for cell in cells] in ([1, 8], [1, 8, 4])  # as 8 was answered in part or not
    assert cells[-1]["failures"] == cells[-1]["requests"]
    assert MODEL in stdout
