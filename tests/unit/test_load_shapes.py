"""Load shapes: files that say how many users there are when."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadtest.errors import LoadTestError
from loadtest.shape import Shape, Stage, read

FOLDER = Path(__file__).parents[2] / "loadtest" / "shapes"


@pytest.mark.parametrize("name", ["steps", "ramp", "spike", "soak"])
def test_the_projects_shapes_can_be_read_and_end(name):
    shape = read(FOLDER / f"{name}.toml")

    assert shape.at(0) is not None
    assert shape.at(shape.stages[-1].until_s) is None


def test_stages_follow_each_other_and_ramps_are_linear():
    shape = Shape((Stage(10, 4, 2.0), Stage(20, 14, ramp=True), Stage(30, 1, ramp=True)))

    assert shape.at(0) == (4, 2.0)
    assert [shape.at(second)[0] for second in (9.9, 10, 11, 15, 19.9, 20, 25, 29.9)] == [4, 4, 5, 9, 14, 14, 8, 1]
    assert shape.at(30) is None


def test_a_ramp_begins_with_one_user_and_a_shape_can_hold_its_last_stage(tmp_path):
    file = tmp_path / "shape.toml"
    file.write_text('end = "hold"\n[[stage]]\nuntil_s = 10\nusers = 20\nspawn_rate = 3\nramp = true\n')

    shape = read(file)

    assert [shape.at(second) for second in (0, 5, 10, 99999)] == [(1, 3.0), (10, 3.0), (20, 3.0), (20, 3.0)]


STAGE = "[[stage]]\nuntil_s = 10\nusers = 2\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("users = [", "isn't TOML"),
        ('end = "stop"', "it has no [[stage]]"),
        ("stage = 3", "it has no [[stage]]"),
        ("[[stage]]\nuntil_s = 10\n", "stage 1: users is None; it must be a whole number of at least 1"),
        ("[[stage]]\nuntil_s = 10\nusers = true\n", "stage 1: users is True"),
        ("[[stage]]\nusers = 2\n", "stage 1: until_s is None; it must be a number above 0"),
        (STAGE + STAGE, "stage 2: until_s is 10; it must be above 10"),
        (STAGE + "spawn_rate = -1", "stage 1: spawn_rate is -1; it must be a number above 0"),
        (STAGE + "spawn_rate = nan", "stage 1: spawn_rate is nan; it must be a number above 0"),
        (STAGE + "ramp = 1", "stage 1: ramp is 1; it must be true or false"),
        (STAGE + "user = 1", "stage 1 has 'user'; there are until_s, users, spawn_rate, ramp"),
        ('end = "repeat"\n' + STAGE, "end is 'repeat'; it must be stop or hold"),
        ("stages = 1\n" + STAGE, "the file has 'stages'; there are end, stage"),
    ],
)
def test_mistakes_are_told_in_one_line(tmp_path, text, message):
    file = tmp_path / "shape.toml"
    file.write_text(text)

    with pytest.raises(LoadTestError) as error:
        read(file)

    assert message in error.value.message
    assert str(file) in error.value.message
    assert "\n" not in error.value.message


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(LoadTestError, match=r"none\.toml can't be read: No such file"):
        read(tmp_path / "none.toml")
