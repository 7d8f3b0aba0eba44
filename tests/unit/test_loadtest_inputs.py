"""What a sweep is made of: batches, models, cells, and the device's name."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from itertools import islice

import pytest

from loadtest.device import device_at, is_loopback
from loadtest.errors import LoadTestError
from loadtest.plan import plan
from loadtest.subjects import Subject, check_batch_sizes, why_not_ready
from loadtest.workload import Workload
from tritonclas import ModelStatus


def test_batches_take_the_pictures_in_turn():
    workload = Workload("localhost:8001", "m", 2, (b"a", b"b", b"c"))

    assert list(islice(workload.batches(), 4)) == [(b"a", b"b"), (b"c", b"a"), (b"b", b"c"), (b"a", b"b")]
    assert next(workload.batches(4)) == (b"b", b"c")
    assert next(Workload("localhost:8001", "m", 5, (b"a", b"b")).batches()) == (b"a", b"b", b"a", b"b", b"a")


def test_cells_are_every_model_with_every_batch_size_with_every_number_of_users():
    template = Workload("localhost:8001", "", 1, (b"a",), "pixels", 5.0)

    planned = plan(template, [Subject("A", 8, False), Subject("B", 8, True)], (1, 8), (2, 4), ["pixels"])

    assert [(cell.workload.model, cell.workload.batch_size, cell.users, cell.synthetic) for cell in planned] == [
        *(("A", 1, 2, False), ("A", 1, 4, False), ("A", 8, 2, False), ("A", 8, 4, False)),
        *(("B", 1, 2, True), ("B", 1, 4, True), ("B", 8, 2, True), ("B", 8, 4, True)),
    ]
    assert {(cell.workload.input, cell.workload.timeout_s) for cell in planned} == {("pixels", 5.0)}


def status(name: str, state: str = "READY", reason: str = "") -> ModelStatus:
    return ModelStatus(name, "1", state, reason)


@pytest.mark.parametrize(
    ("name", "known", "message"),
    [
        ("A1x", [status("A1"), status("A1_net")], "there is no model 'A1x'; did you mean A1?"),
        ("Z", [status("A1"), status("preprocess_1")], "there is no model 'Z'; there are: A1"),
        ("Z", [status("A1", "UNAVAILABLE")], "there is no model 'Z'; no model is ready"),
        ("A1", [status("A1", "")], "A1 is not loaded; load it first"),
        ("A1", [status("A1", "UNAVAILABLE", "(no file)")], "A1 is UNAVAILABLE; load it first (no file)"),
    ],
)
def test_a_model_that_isnt_ready_is_explained(name, known, message):
    assert why_not_ready(name, known) == message


@pytest.mark.parametrize(("most", "batch_sizes"), [(8, (1, 8)), (1, (1,))])
def test_batches_that_fit(most, batch_sizes):
    check_batch_sizes([Subject("A", most, False)], batch_sizes)


@pytest.mark.parametrize(("most", "batch_sizes"), [(8, (1, 9)), (1, (2, 1))])
def test_batches_that_are_too_large(most, batch_sizes):
    with pytest.raises(LoadTestError, match=rf"B takes at most {most} images a request; --batch-sizes has"):
        check_batch_sizes([Subject("A", 64, False), Subject("B", most, False)], batch_sizes)


@pytest.mark.parametrize("url", ["localhost:8001", "127.0.0.1:8001", "127.1.2.3:1", "[::1]:8001"])
def test_addresses_of_this_machine(url):
    assert is_loopback(url)


@pytest.mark.parametrize("url", ["triton.example:8001", "10.0.0.1:8001", "0.0.0.0:8001", "[fe80::1]:8001"])
def test_addresses_that_may_be_anywhere(url):
    assert not is_loopback(url)
    assert device_at(url) == "unknown"


def test_this_machines_cpu_is_named(tmp_path, monkeypatch):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: Fast CPU @ 2.0GHz\nprocessor\t: 1\nmodel name\t: Other\n")
    monkeypatch.setattr("loadtest.device._CPUINFO", cpuinfo)

    assert device_at("localhost:8001") == f"Fast CPU @ 2.0GHz, {os.cpu_count()} cores"


@pytest.mark.parametrize("content", [None, "Hardware\t: board\n"])
def test_a_cpu_without_a_name_is_named_by_its_architecture(tmp_path, monkeypatch, content):
    cpuinfo = tmp_path / "cpuinfo"
    if content:
        cpuinfo.write_text(content)
    monkeypatch.setattr("loadtest.device._CPUINFO", cpuinfo)

    assert device_at("localhost:8001") == f"{platform.machine()}, {os.cpu_count()} cores"


def test_results_and_reports_can_be_read_without_patching_the_process(root):
    code = "import sys, loadtest.report, loadtest.results, loadtest.arguments; print('gevent' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)

    assert done.stdout == "False\n"
