"""What the faults share: calls that are counted by how they end, promises, the page, a limit, and hostile files."""

from __future__ import annotations

import contextlib
import mmap
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos import page
from chaos.__main__ import FAULTS
from chaos.hostile import hostile
from chaos.limits import TookTooLong, within
from chaos.load import ANSWERED, Load, WrongAnswer
from chaos.trial import Promise, Trial
from chaos.vitals import Vitals, growth_per_min, vitals
from tritonclas import ServerOverloaded


def trial(ended: dict[str, int], *promises: Promise, lost: int = 0) -> Trial:
    return Trial("a fault", "what was done", ended, ("ServerOverloaded",), lost, 12.3, promises)


def test_calls_are_counted_by_how_they_end() -> None:
    ends = iter([None, ServerOverloaded("full"), WrongAnswer("a dog"), KeyError("x"), None])
    none_left = threading.Event()

    def ask() -> None:
        end = next(ends, "none left")
        if isinstance(end, Exception):
            raise end
        if end:
            none_left.set()
            time.sleep(0.01)

    with Load(ask, workers=1) as load:
        assert none_left.wait(10)
    ended = load.ended
    assert ended.pop(ANSWERED) >= 2
    assert ended == {"ServerOverloaded": 1, "WrongAnswer": 1, "KeyError (not the SDK's)": 1}
    assert load.lost == 0


def test_an_open_loop_counts_from_when_calls_were_due() -> None:
    with Load(lambda: time.sleep(0.05), workers=1, per_s=100) as load:
        assert load.wait_for_answers(3)
    times_ms = load.times_ms()
    assert times_ms[0] >= 50
    assert times_ms[-1] > 2 * times_ms[0]  # with one worker, the later ones are late


def test_a_call_that_never_ends_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaos.load.LOST_AFTER_S", 0.05)
    release = threading.Event()
    with Load(release.wait, workers=1) as load:
        time.sleep(0.05)
    assert load.lost == 1
    release.set()


def test_when_calls_are_answered_again() -> None:
    broken = threading.Event()

    def ask() -> None:
        time.sleep(0.001)
        if broken.is_set():
            raise ServerOverloaded("full")

    with Load(ask, workers=2) as load:
        assert load.wait_for_answers(2)
        fault_s = time.monotonic()
        broken.set()
        time.sleep(0.1)
        broken.clear()
        assert load.wait_for_answers(2)
    assert 50 < load.answered_ms_after(fault_s + 0.01) < 5000
    assert load.answered_ms_after(time.monotonic()) == float("inf")


@pytest.mark.parametrize(
    ("ended", "lost", "survived"),
    [
        ({ANSWERED: 5, "ServerOverloaded": 3}, 0, True),
        ({ANSWERED: 5, "ServerError": 1}, 0, False),
        ({ANSWERED: 5}, 1, False),
    ],
)
def test_no_call_may_fail_or_be_lost(ended: dict[str, int], lost: int, survived: bool) -> None:
    found = trial(ended, lost=lost)
    assert (found.survived, found.calls) == (survived, sum(ended.values()) + lost)


def test_promises_are_kept_or_not() -> None:
    kept, broken = Promise.at_most("p99", 10, 20), Promise.at_most("p99", 30, 20)
    assert (kept.kept, broken.kept, kept.what) == (True, False, "p99 ≤ 20.0 ms")
    assert trial({ANSWERED: 1}, kept).survived
    assert trial({ANSWERED: 1}, kept, broken).broken == (broken,)
    assert not Promise.none("calls lost", 1).kept


@contextlib.contextmanager
def _cleaning(cleaned: list[str]) -> Iterator[None]:
    try:
        yield
    finally:
        cleaned.append("cleaned")


def test_a_limit_ends_what_hangs_and_cleans_up() -> None:
    cleaned: list[str] = []
    with pytest.raises(TookTooLong), _cleaning(cleaned), within(0.05):
        time.sleep(10)
    assert cleaned
    with within(0.05):
        pass
    time.sleep(0.1)


def test_growth_is_a_slope() -> None:
    steady = [Vitals(float(second), 100 + second % 2, 3) for second in range(20)]
    growing = [Vitals(float(second), 100 + 2 * second, 3) for second in range(20)]
    assert abs(growth_per_min(steady)) < 2
    assert growth_per_min(growing) == pytest.approx(120)


def test_a_process_has_vitals() -> None:
    before = vitals(os.getpid(), alone=True)
    # pages of its own: an allocator might hand out again what an earlier test gave back
    with mmap.mmap(-1, 30_000_000, flags=mmap.MAP_PRIVATE) as taken, Path(os.devnull).open():
        taken[:: mmap.PAGESIZE] = b"1" * len(taken[:: mmap.PAGESIZE])
        after = vitals(os.getpid(), alone=True)
        assert after.memory - before.memory > len(taken) * 0.9
    assert after.descriptors == before.descriptors + 1


def test_hostile_files_are_the_same_again() -> None:
    files = hostile(160)
    assert files == hostile(160)
    assert len({content for _, content in files}) > 150
    assert files[:100] == hostile(170)[:100]
    kinds = " ".join(kind for kind, _ in files)
    for kind in (
        "empty",
        "1x1",
        "1x65500",
        "animated",
        "palette",
        "16 bits",
        "CMYK",
        "metadata",
        "gigapixel",
        "cut short",
    ):
        assert kind in kinds


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    found: dict[str, page.Part] = {
        "overload": [trial({ANSWERED: 1234, "ServerOverloaded": 2}, Promise.at_most("p99", 30, 20))],
        "clock": "libfaketime isn't there",
    }
    page.write(found, tmp_path)
    header, again = page.read(tmp_path / "reliability.json")
    assert again == found
    text = (tmp_path / "reliability.md").read_text(encoding="utf-8")
    assert text == page.markdown(header, again)
    assert "| a fault | 1,236 | 1,234 | 2 ServerOverloaded | 0 | 0 | 12.3 | **not survived** |" in text
    assert "0 of 1 faults" in text
    assert "clock: libfaketime isn't there" in text
    assert page.kept(tmp_path) == found


def test_the_page_is_what_its_data_make(root: Path) -> None:
    data = root / "docs" / "reliability.json"
    if not data.exists():
        pytest.skip("make chaos hasn't written docs/reliability.md yet")
    header, found = page.read(data)
    assert data.with_suffix(".md").read_text(encoding="utf-8") == page.markdown(header, found)
    assert list(found) == list(FAULTS)
    assert "not survived" not in page.markdown(header, found)
