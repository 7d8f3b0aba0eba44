"""archives.lock: read strictly, written so that git shows a line a change, and never overruled."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock

from scripts.downloads import archive_lock
from scripts.downloads.archive_lock import COMMITTED, ArchiveLock, Entry
from scripts.errors import ArchiveError
from tritonclas import zoo

B0 = Entry("https://upstream/B0_infer.tar", 12, "0" * 63 + "a", "2024-01-31")
B1 = replace(B0, url="https://upstream/B1_infer.tar", sha256="b" * 64, mirror="http://mirror/B1_infer.tar")


@pytest.fixture
def lock(tmp_path: Path) -> ArchiveLock:
    return ArchiveLock(tmp_path / "archives.lock")


def test_what_is_recorded_is_found(lock: ArchiveLock) -> None:
    assert lock.find("B0") is None

    assert lock.add("B1", B1)
    assert lock.add("B0", B0)

    assert (lock.find("B0"), lock.find("B1"), lock.find("B2")) == (B0, B1, None)


def test_the_file_is_the_same_in_whatever_order_it_came_to_be(lock: ArchiveLock, tmp_path: Path) -> None:
    other = ArchiveLock(tmp_path / "other.lock")
    for name, entry in (("B0", B0), ("B1", B1)):
        lock.add(name, entry)
    for name, entry in (("B1", B1), ("B0", B0)):
        other.add(name, entry)

    text = lock.path.read_text()
    assert text == other.path.read_text()
    assert text.startswith('{\n  "archives": {\n    "B0": {\n      "bytes": 12,\n      "date": "2024-01-31",\n')
    assert text.endswith("}\n")
    assert "mirror" not in json.loads(text)["archives"]["B0"]


def test_another_entry_is_kept_whatever_stands_in_it(lock: ArchiveLock) -> None:
    lock.path.write_text('{"archives": {"own": {"note": "of a later version"}}}')

    lock.add("B0", B0)

    assert json.loads(lock.path.read_text())["archives"]["own"] == {"note": "of a later version"}


def test_the_same_file_of_another_day_changes_nothing(lock: ArchiveLock) -> None:
    lock.add("B0", B0)
    before = lock.path.read_text()

    assert lock.add("B0", replace(B0, date="2025-01-01", mirror="http://mirror"))

    assert lock.path.read_text() == before


@pytest.mark.parametrize("other", [replace(B0, bytes=13), replace(B0, sha256="c" * 64)], ids=["bytes", "sha256"])
def test_another_file_is_refused(lock: ArchiveLock, other: Entry) -> None:
    lock.add("B0", B0)

    with pytest.raises(ArchiveError) as caught:
        lock.add("B0", other)

    assert caught.value.message == (
        f"https://upstream/B0_infer.tar isn't the archive that {lock.path} records: it has sha256 {other.sha256[:12]}… "
        f"and {other.bytes} bytes, not sha256 000000000000… and 12 bytes; if PaddleClas has published a new one that "
        "you trust, delete the entry B0 there and try again"
    )
    assert lock.find("B0") == B0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "null",
        '{"archives": []}',
        '<<<<<<< HEAD\n{"archives": {}}',
        b"\xff",
        '{"archives": {"B0": {}}}',
        '{"archives": {"B0": 1}}',
        json.dumps({"archives": {"B0": {**B0.fields(), "bytes": "12"}}}),
        json.dumps({"archives": {"B0": {**B0.fields(), "bytes": True}}}),
        json.dumps({"archives": {"B0": {**B0.fields(), "sha256": "A" * 64}}}),
        json.dumps({"archives": {"B0": {**B0.fields(), "sha256": "a" * 63}}}),
        json.dumps({"archives": {"B0": {**B0.fields(), "sha256": "a" * 65}}}),
        json.dumps({"archives": {"B0": {**B0.fields(), "sha256": 1}}}),
        json.dumps({"archives": {"B0": {**B0.fields(), "url": None}}}),
        json.dumps({"archives": {"B0": {**B0.fields(), "stranger": 1}}}),
    ],
)
def test_a_damaged_file_is_never_taken_for_an_empty_one(lock: ArchiveLock, text: str | bytes) -> None:
    lock.path.write_bytes(text if isinstance(text, bytes) else text.encode())

    with pytest.raises(ArchiveError) as caught:
        lock.find("B0")
    with pytest.raises(ArchiveError):
        lock.add("B0", B0)

    assert "can't be used" in caught.value.message
    assert "\n" not in caught.value.message
    assert lock.path.read_bytes() == (text if isinstance(text, bytes) else text.encode())


def test_a_file_that_cant_be_read_is_named(lock: ArchiveLock) -> None:
    lock.path.mkdir()

    with pytest.raises(ArchiveError, match="Is a directory"):
        lock.find("B0")


def test_where_nothing_can_be_written_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    lock = ArchiveLock(tmp_path / "file" / "archives.lock")

    assert lock.find("B0") is None
    assert not lock.add("B0", B0)


def test_a_writer_that_never_ends_isnt_waited_for(lock: ArchiveLock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_lock, "_WAIT_S", 0.05)
    lock.add("B1", B1)

    with FileLock(lock.path.parent / ".cache" / "archives.lock.lock", is_singleton=False):
        process = [sys.executable, "-c", ADD.format(path=lock.path, numbers=[1], wait_s=0.05)]
        assert subprocess.run(process, capture_output=True, check=True, text=True).stdout == "False\n"


ADD = """
from pathlib import Path
from scripts.downloads import archive_lock
archive_lock._WAIT_S = {wait_s}
lock = archive_lock.ArchiveLock(Path("{path}"))
for number in {numbers}:
    print(lock.add(f"B{{number}}", archive_lock.Entry("https://upstream", 1, "0" * 64, "2024-01-31")))
"""


def test_processes_that_write_at_once_lose_nothing(lock: ArchiveLock) -> None:
    numbers = [list(range(first, 200, 4)) for first in range(4)]
    commands = [[sys.executable, "-c", ADD.format(path=lock.path, numbers=some, wait_s=60)] for some in numbers]
    processes = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for command in commands]

    assert [process.wait(120) for process in processes] == [0] * 4
    assert json.loads(lock.path.read_text())["archives"].keys() == {f"B{number}" for number in range(200)}


def test_the_environment_names_another_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TRITONCLAS_ARCHIVES_LOCK", str(tmp_path / "mine"))
    assert ArchiveLock.chosen().path == tmp_path / "mine"

    monkeypatch.setenv("TRITONCLAS_ARCHIVES_LOCK", "")
    assert ArchiveLock.chosen().path == COMMITTED


def test_the_committed_file_is_as_it_would_be_written(root: Path) -> None:
    assert root / "archives.lock" == COMMITTED
    text = COMMITTED.read_text()
    archives = json.loads(text)["archives"]

    assert text == json.dumps({"archives": archives}, indent=2, sort_keys=True) + "\n"
    for name in archives:
        entry = ArchiveLock(COMMITTED).find(name)
        assert entry
        assert entry.url == zoo.find(name).archive_url
