"""examples/ray_data.py on a real Ray, against a scripted server."""

from __future__ import annotations

import grpc
import psutil
import pytest

from tests.example_ray import ray_job, rows_in
from tests.triton.commands import run
from tests.wire.scripted import MODEL, Hang, image, infer

FULL = "Exceeds maximum queue size"


def listening(process: psutil.Process) -> set[str]:
    """Addresses at which it listens; none if it has ended."""
    try:
        connections = process.net_connections("inet")
    except psutil.NoSuchProcess:
        return set()
    return {each.laddr.ip.removeprefix("::ffff:") for each in connections if each.status == psutil.CONN_LISTEN}


@pytest.mark.slow
def test_a_job_keeps_to_loopback_waits_for_an_overloaded_server_and_has_a_row_for_every_file(service, url, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(12):
        (photos / f"{number:02}.jpg").write_bytes(image("bad" if number == 5 else f"{number}:name"))
    refused = []

    def overloaded_at_first(request, context):
        if not refused:
            refused.append(request)
            context.abort(grpc.StatusCode.UNAVAILABLE, FULL)
        return infer(request, context)

    service.answers["ModelInfer"] = hang = Hang(overloaded_at_first)
    with ray_job(photos, tmp_path / "out", url=url, model=MODEL, batch_size=4) as process:
        assert hang.arrived.wait(60)
        everything = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        addresses = set().union(*map(listening, everything))
        hang.release()
        output = process.communicate(timeout=60)[0]
    assert process.returncode == 0, output
    assert addresses == {"127.0.0.1"}
    assert refused
    rows = rows_in(tmp_path / "out")
    assert [row["path"] for row in rows] == [str(path) for path in sorted(photos.iterdir())]
    assert [row["index"] for row in rows] == [None if number == 5 else number for number in range(12)]
    assert [row["error"] for row in rows] == ["bad" if number == 5 else None for number in range(12)]


@pytest.mark.slow
def test_without_a_server_a_job_ends_with_the_reason_and_writes_nothing(nobody, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "1.jpg").write_bytes(image(1))
    with ray_job(tmp_path / "photos", tmp_path / "out", url=nobody, model=MODEL) as process:
        output = process.communicate(timeout=60)[0]
    assert process.returncode == 1
    assert output.splitlines()[-1].startswith(f"Error: {MODEL} at {nobody}: no server listens there")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_there_already_is_not_written_to(tmp_path):
    done = run("examples/ray_data.py", tmp_path, tmp_path)
    assert done.returncode == 2
    assert f"{tmp_path} is there already" in done.stderr
