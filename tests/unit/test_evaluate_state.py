"""The file that lets an evaluation go on: what survives, and what isn't mixed."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from scripts.errors import ScriptError
from scripts.evaluation.accuracy import Answer
from scripts.evaluation.answers_file import kept_answers
from scripts.evaluation.measure import usual_state

WHAT = {"model": "EfficientNetB0", "preprocess": "server", "set": "abc"}
ANSWERS = [Answer(0, 281, 0.5), Answer(rejected='"broken"\n'), Answer(None, 7, 0.25), Answer(4, 3, 1e-6)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A state that holds the answers."""
    file = tmp_path / "states" / "state.jsonl"
    with kept_answers(file, WHAT, False) as kept:
        for answer in ANSWERS:
            kept.add(answer)
    return file


def answers(path: Path, what: dict[str, str] = WHAT, fresh: bool = False) -> list[Answer]:
    with kept_answers(path, what, fresh) as kept:
        return list(kept.answers)


def test_answers_are_there_again(path):
    assert answers(path) == ANSWERS
    with kept_answers(path, WHAT, False) as kept:
        kept.add(ANSWERS[0])
    assert answers(path) == [*ANSWERS, ANSWERS[0]]


def test_an_answer_is_in_the_file_at_once(path):
    with kept_answers(path, WHAT, False) as kept:
        before = path.read_text()
        kept.add(Answer(1, 2, 0.5))
        assert path.read_text() == before + '{"rank": 1, "top": 2, "score": 0.5, "rejected": null}\n'


@pytest.mark.parametrize("lost", range(1, 60, 7))
def test_a_half_written_line_is_taken_off(path, lost):
    left = path.read_bytes()[:-lost]
    path.write_bytes(left)
    found = answers(path)
    assert found == ANSWERS[: left.count(b"\n") - 1]
    with kept_answers(path, WHAT, False) as kept:
        kept.add(ANSWERS[-1])
    assert answers(path) == [*found, ANSWERS[-1]]


@pytest.mark.parametrize("damage", [b"\0\0\0\0\n", b"{}\n", b"[1]\n", b"7\n", b'{"rank": 0}\n'])
def test_a_damaged_file_is_good_up_to_there(path, damage):
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], damage, *lines[3:]]))
    assert answers(path) == ANSWERS[:2]
    assert answers(path) == ANSWERS[:2]


@pytest.mark.parametrize("length", [0, 1, 20])
def test_a_half_written_first_line(path, length):
    path.write_bytes(path.read_bytes()[:length])
    with kept_answers(path, WHAT, False) as kept:
        assert not kept.answers
        kept.add(ANSWERS[0])
    assert answers(path) == ANSWERS[:1]


@pytest.mark.parametrize("key", WHAT)
def test_another_evaluations_state_is_not_mixed_in(path, key):
    other = WHAT | {key: "other"}
    before = path.read_bytes()
    with (
        pytest.raises(ScriptError, match="another model, other pictures or another --preprocess"),
        kept_answers(path, other, False),
    ):
        pass
    assert path.read_bytes() == before
    assert answers(path, other, fresh=True) == []


def test_fresh(path):
    with kept_answers(path, WHAT, True) as kept:
        assert not kept.answers
        kept.add(ANSWERS[1])
    assert answers(path) == [ANSWERS[1]]


@pytest.mark.parametrize("content", [b"my notes\n", b"\xff\xd8\xff", b"[1]\n", b'{"kind": "other"}\n', b"notes"])
@pytest.mark.parametrize("fresh", [False, True])
def test_somebody_elses_file_is_left_alone(tmp_path, content, fresh):
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(ScriptError, match="left alone"), kept_answers(path, WHAT, fresh):
        pass
    assert path.read_bytes() == content


def test_an_empty_state_does_not_stay(tmp_path):
    with kept_answers(tmp_path / "state", WHAT, False):
        assert (tmp_path / "state").exists()
    assert not list(tmp_path.iterdir())


def test_where_it_cant_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ScriptError, match="can't be written"), kept_answers(tmp_path / "file" / "state", WHAT, False):
        pass


def hold(path: Path, held: object, release: object) -> None:
    with kept_answers(path, WHAT, False):
        held.set()  # type: ignore[attr-defined]
        release.wait(60)  # type: ignore[attr-defined]


def test_one_process_at_a_time(path):
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    other = context.Process(target=hold, args=(path, held, release))
    other.start()
    try:
        assert held.wait(60)
        with pytest.raises(ScriptError, match="another evaluation is writing"), kept_answers(path, WHAT, False):
            pass
    finally:
        release.set()
        other.join(60)
    assert answers(path) == ANSWERS


def test_every_evaluation_has_its_own_usual_state():
    usual = usual_state(WHAT)
    assert usual.parent == Path("reports/evaluate")
    assert usual.name.startswith("EfficientNetB0-")
    assert len({usual, *(usual_state(WHAT | {key: "other"}) for key in WHAT)}) == 4
    assert usual_state(WHAT | {"model": "../../x"}).parent == usual.parent
