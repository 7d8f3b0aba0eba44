"""Shared memory that a client cuts into blocks, and that goes away however its process ends."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.pictures import noise
from tritonclas import _shared_memory
from tritonclas._shared_memory import FOLDER, REST_S, Block, Region, left_behind

KIB = 1024
MIB = 1024 * KIB


@pytest.fixture
def clock() -> list[float]:
    """The time, which tests move."""
    return [1000.0]


@pytest.fixture
def region(clock: list[float]) -> Iterator[Region]:
    """A small region."""
    made = Region(2 * MIB, lambda: clock[0])
    yield made
    made.close()


def content(region: Region, block: Block, size: int) -> bytes:
    """What another process reads there."""
    with (FOLDER / region.name).open("rb") as file:
        file.seek(block.offset)
        return file.read(size)


def test_what_is_written_is_there_for_others(region: Region) -> None:
    first, second = region.take(5), region.take(192)
    assert first
    assert second
    pixels = noise(8, 8)
    region.write(second, [pixels])
    region.write(first, [b"ab", bytearray(b"c"), b"", memoryview(b"de")])
    assert content(region, first, 5) == b"abcde"
    assert content(region, second, 192) == pixels.tobytes()


def test_blocks_do_not_overlap(region: Region) -> None:
    blocks = [block for size in (1, 70_000, 65_536, 300_000, 65_537) if (block := region.take(size))]
    assert len(blocks) == 5
    ends = [(block.offset, block.offset + block.size) for block in blocks]
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(ends))
    assert [block.size for block in blocks] == [64 * KIB, 128 * KIB, 64 * KIB, 512 * KIB, 128 * KIB]


def test_a_block_that_was_given_back_is_used_again(region: Region) -> None:
    first = region.take(100_000)
    assert first
    region.give_back(first, answered=True)
    assert region.take(90_000) == first
    assert region.take(90_000) != first


def test_the_smallest_block_that_fits_is_taken(region: Region) -> None:
    large, small = region.take(500_000), region.take(100_000)
    assert large
    assert small
    region.give_back(large, answered=True)
    region.give_back(small, answered=True)
    assert region.take(70_000) == small
    assert region.take(70_000) == large


def test_a_block_rests_when_its_request_was_not_answered(region: Region, clock: list[float]) -> None:
    first = region.take(100_000)
    assert first
    region.give_back(first, answered=False)
    second = region.take(100_000)
    clock[0] += REST_S
    assert second != first
    assert region.take(100_000) == first


def test_there_is_a_limit(region: Region) -> None:
    assert region.take(3 * MIB) is None
    whole = region.take(2 * MIB)
    assert whole
    assert region.take(1) is None
    region.give_back(whole, answered=True)
    assert region.take(1) == whole


def test_when_all_is_free_it_is_cut_up_anew(region: Region, clock: list[float]) -> None:
    small = [region.take(64 * KIB) for _ in range(32)]
    assert region.take(64 * KIB) is None
    for block in small[1:]:
        assert block
        region.give_back(block, answered=False)
    assert region.take(2 * MIB) is None
    clock[0] += REST_S
    assert region.take(2 * MIB) is None
    assert small[0]
    region.give_back(small[0], answered=True)
    assert region.take(2 * MIB) == Block(0, 2 * MIB)


def test_others_keep_room(region: Region, monkeypatch: pytest.MonkeyPatch) -> None:
    """Triton's Python backend has its memory there too, and a container's /dev/shm is small."""
    full = SimpleNamespace(f_frsize=4096, f_blocks=1000, f_bavail=300)
    monkeypatch.setattr(os, "fstatvfs", lambda file: full)
    assert region.take(64 * KIB)
    assert region.take(256 * KIB) is None


def test_a_link_of_somebody_else_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    link = FOLDER / f"{_shared_memory.PREFIX}link"
    link.symlink_to(tmp_path / "precious")
    try:
        assert link.name not in list(left_behind())
        assert link.is_symlink()
    finally:
        link.unlink()


def test_memory_is_taken_as_it_is_used() -> None:
    region = Region(256 * MIB)
    try:
        before = (FOLDER / region.name).stat().st_blocks * 512
        region.take(MIB)
        assert (before, (FOLDER / region.name).stat().st_blocks * 512) == (0, MIB)
    finally:
        region.close()


def test_a_full_system_is_no_room(region: Region, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    assert region.take(1) is None


def test_only_its_owner_may_read_it(region: Region) -> None:
    assert (FOLDER / region.name).stat().st_mode & 0o777 == 0o600


def test_closed_it_is_gone_and_gives_nothing(region: Region) -> None:
    region.close()
    region.close()
    assert not _shared_memory.exists(region.name)
    assert region.take(1) is None


def test_forgotten_it_is_gone() -> None:
    name = Region(MIB).name
    assert not _shared_memory.exists(name)


HOLDER = """
import sys
from tritonclas._shared_memory import Region
region = Region(1 << 20)
print(region.name, flush=True)
{end}
"""


@contextlib.contextmanager
def holding(end: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process with a region, and the region's name; what it reads from stdin ends with the block."""
    command = [sys.executable, "-c", HOLDER.format(end=end)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield process, process.stdout.readline().strip()


def test_at_the_end_of_a_process_it_is_gone() -> None:
    with holding("") as (process, name):
        assert process.wait(20) == 0
        assert not _shared_memory.exists(name)


def test_a_forked_child_leaves_it_to_its_parent(region: Region) -> None:
    child = os.fork()
    if not child:
        region.close()
        os._exit(0)
    os.waitpid(child, 0)
    assert _shared_memory.exists(region.name)


def test_what_a_killed_process_left_behind_is_removed_and_nothing_else(region: Region) -> None:
    with holding("sys.stdin.read()") as (process, name):
        assert _shared_memory.exists(name)
        assert name not in list(left_behind())
        process.send_signal(signal.SIGKILL)
        process.wait(20)
    assert _shared_memory.exists(name)
    assert name in list(left_behind())
    assert not _shared_memory.exists(name)
    assert _shared_memory.exists(region.name)


def test_a_system_without_shared_memory_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(_shared_memory, "FOLDER", tmp_path / "none")
    with pytest.raises(OSError, match="No such file"):
        Region(MIB)
    assert list(left_behind()) == []


def test_arrays_that_are_not_contiguous_are_refused(region: Region) -> None:
    block = region.take(200)
    assert block
    with pytest.raises((TypeError, ValueError)):
        region.write(block, [np.asfortranarray(noise(8, 8))])
