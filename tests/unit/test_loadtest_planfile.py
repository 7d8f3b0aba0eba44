"""The sweep's options as a file."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
import tomlkit
from click.testing import CliRunner

from loadtest import planfile
from loadtest.arguments import SweepCommand
from loadtest.options import Options, sweep_options

taken: list[Options] = []


@click.command(cls=SweepCommand)
@sweep_options
def sweep(**values):
    taken.append(Options(**values))
    params = click.get_current_context().params
    out = Path(values["out"])
    out.mkdir(exist_ok=True)
    (out / planfile.FILE).write_text(planfile.text(sweep, params, out, resumed=values["resume"]))


def run(*words: str) -> click.testing.Result:
    taken.clear()
    return CliRunner().invoke(sweep, [str(word) for word in words])


BASE = ("--url", "localhost:8001", "--models", "A", "B")


def test_what_is_written_is_the_same_sweep_again(tmp_path):
    file = tmp_path / "sweep.toml"
    (tmp_path / "photos").mkdir()
    images = ("--images", tmp_path / "photos")
    more = ("--batch-sizes", "1,4", "--rates", "10,12.5", "--slo", "p99=50ms", "--mix", "imagenet=4,photo=1")
    assert run(*BASE, *more, *images, "--inputs", "encoded,pixels", "--duration", "2", "--out", tmp_path).exit_code == 0
    (first,) = taken

    assert run("--plan", file, "--out", tmp_path / "again").exit_code == 0

    (second,) = taken
    assert second == Options(**{**vars(first), "out": tmp_path / "again"})
    content = tomlkit.parse(file.read_text())
    again = tomlkit.parse((tmp_path / "again" / "sweep.toml").read_text())
    assert (content.pop("images"), again.pop("images")) == ("photos", "../photos")
    assert again == content
    assert content["models"] == ["A", "B"]
    assert content["rates"] == [10.0, 12.5]
    assert {"out", "resume", "plan"}.isdisjoint(content)


def test_a_sweep_that_goes_on_with_more_is_all_of_it(tmp_path):
    assert run(*BASE, "--users", "1,2", "--rates", "5", "--out", tmp_path).exit_code == 0
    assert run("--url", "localhost:8001", "--models", "C", "--users", "4", "--resume", "--out", tmp_path).exit_code == 0

    content = tomlkit.parse((tmp_path / "sweep.toml").read_text())

    assert (content["models"], content["users"], content["rates"]) == (["A", "B", "C"], [1, 2, 4], [5.0])


def test_what_a_resumed_sweep_doesnt_say_is_as_before(tmp_path):
    (tmp_path / "sweep.toml").write_text(
        'url = "t4:8001"\nmodels = "A"\nbatch_sizes = 4\nrates = [5]\nslo = "p99=50ms"\n'
    )
    again = ("--url", "t4:8001", "--models", "A,B", "--rates", "5,7.5", "--resume", "--out", tmp_path)

    assert run(*again).exit_code == 0
    content = tomlkit.parse((tmp_path / "sweep.toml").read_text())
    other = run(*again, "--arrivals", "poisson")

    assert (content["models"], content["batch-sizes"], content["rates"]) == (["A", "B"], [4, 1, 8], [5.0, 7.5])
    assert content["slo"] == "p99=50ms"
    assert "has rates with other arrivals than poisson; give --out another folder" in " ".join(other.output.split())


def test_the_command_line_comes_before_the_file(tmp_path):
    file = tmp_path / "sweep.toml"
    file.write_text('url = "t4:8001"\nmodels = ["A"]\nbatch_sizes = [1, 8]\nusers = 4\n')

    done = run("--plan", file, "--users", "1,2", "--out", tmp_path / "out")

    assert done.exit_code == 0, done.output
    (options,) = taken
    assert (options.url, options.batch_sizes, options.users) == ("t4:8001", (1, 8), (1, 2))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("models = [", "isn't TOML"),
        ("batch-sizes = []", "has no value for 'batch-sizes'; give one, or leave it out"),
        ("duration = nan", "isn't a number of seconds"),
        ('model = ["A"]', "has 'model'; it may have arrivals, batch-sizes"),
        ("out = 'x'", "has 'out'; it may have"),
        ("batch-sizes = [0]", "'0' isn't a number of at least 1"),
        ("rates = ['fast']", "'fast' isn't a rate above 0"),
        ("inputs = ['bitmap']", "there is no input 'bitmap'; there are encoded, pixels, encoded-shm, pixels-shm"),
    ],
)
def test_mistakes_in_the_file_are_told(tmp_path, content, message):
    file = tmp_path / "plan.toml"
    file.write_text(content)

    done = run(*BASE, "--plan", file, "--out", tmp_path / "out")

    assert done.exit_code == 2
    assert message in " ".join(done.output.split())


def test_a_file_that_isnt_there(tmp_path):
    done = run(*BASE, "--plan", tmp_path / "none.toml", "--out", tmp_path / "out")

    assert done.exit_code == 2
    assert "can't be read: No such file or directory" in " ".join(done.output.split())


@pytest.mark.parametrize(
    ("words", "loads"),
    [
        ((), ["1 user", "2 users", "4 users"]),
        (("--users", "8"), ["8 users"]),
        (("--rates", "10"), ["10 requests/s"]),
        (("--rates", "10", "--users", "1", "--arrivals", "poisson"), ["1 user", "10 requests/s, poisson"]),
        (("--slo", "p99=50ms"), []),
    ],
)
def test_loads_are_users_then_rates(tmp_path, words, loads):
    assert run(*BASE, *words, "--out", tmp_path / "out").exit_code == 0

    assert list(map(str, taken[0].loads)) == loads
