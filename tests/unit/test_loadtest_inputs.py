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
from loadtest.load import Load
from loadtest.plan import plan
from loadtest.serverview import Parts
from loadtest.subjects import Model, check_batch_sizes, why_not_ready
from loadtest.workload import Workload
from tritonclas import ModelStatus


def test_batches_take_the_pictures_in_turn():
    workload = Workload("localhost:8001", "m", 2, (b"a", b"b", b"c"))

    assert [batch.images for batch in islice(workload.batches(), 4)] == [
        (b"a", b"b"),
        (b"c", b"a"),
        (b"b", b"c"),
        (b"a", b"b"),
    ]
    assert next(workload.batches(4)).images == (b"b", b"c")
    assert next(Workload("localhost:8001", "m", 5, (b"a", b"b")).batches()).images == (b"a", b"b", b"a", b"b", b"a")


def test_a_batch_is_of_the_size_class_of_its_largest_picture():
    workload = Workload("localhost:8001", "m", 2, (b"a", b"b", b"c"), sizes=(0, 2, 1))

    assert [batch.size for batch in islice(workload.batches(), 3)] == [2, 1, 2]


def model(name: str, most: int = 8, *, synthetic: bool = False) -> Model:
    return Model(name, most, synthetic, Parts(name, f"{name}_net", "preprocess_256_224_cubic"))


def test_cells_are_every_model_with_each_input_at_every_batch_size_under_every_load():
    models = [model("A"), model("B", synthetic=True)]
    templates = {
        (name, given): Workload("localhost:8001", name, 1, (b"a",), given, 5.0)
        for name in ("A", "B")
        for given in ("encoded", "pixels")
    }

    planned = plan(models, templates, (1, 8), [Load(users=2), Load(rate_per_s=10.0)])

    assert [(*each.key, each.model.synthetic) for each in planned] == [
        (name, batch_size, load, given, name == "B")
        for name in ("A", "B")
        for given in ("encoded", "pixels")
        for batch_size in (1, 8)
        for load in ("2 users", "10 requests/s")
    ]
    assert {each.workload.timeout_s for each in planned} == {5.0}


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
    check_batch_sizes([model("A", most)], batch_sizes)


@pytest.mark.parametrize(("most", "batch_sizes"), [(8, (1, 9)), (1, (2, 1))])
def test_batches_that_are_too_large(most, batch_sizes):
    with pytest.raises(LoadTestError, match=rf"B takes at most {most} images a request; --batch-sizes has"):
        check_batch_sizes([model("A", 64), model("B", most)], batch_sizes)


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
