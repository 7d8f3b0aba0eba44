"""The sweep's command line."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from loadtest.arguments import SweepCommand, counts, names, spread
from tritonclas import ServerUnavailable


@click.command(cls=SweepCommand)
@click.option("--url", required=True)
@click.option("--models", multiple=True, required=True, callback=names)
@click.option("--batch-sizes", multiple=True, default=["1,4,8"], callback=counts)
def command(url: str, models: tuple[str, ...], batch_sizes: tuple[int, ...]) -> None:
    if url == "nobody":
        raise ServerUnavailable("nobody: no server listens there")
    if url == "ctrl-c":
        raise KeyboardInterrupt
    click.echo(f"{url} {models} {batch_sizes}")


def run(*words: str):
    return CliRunner().invoke(command, words)


@pytest.mark.parametrize(
    "words",
    [
        ("--url", "u", "--models", "A", "B", "C"),
        ("--models", "A", "B", "C", "--url", "u"),
        ("--models", "A,B,C", "--url", "u"),
        ("--models=A", "B", "C", "--url=u"),
        ("--models=A,B", "C", "--url=u"),
        ("--models", "A", "--url", "u", "--models", "B", "C", "A"),
    ],
)
def test_models_are_words_or_a_list_with_commas(words):
    assert run(*words).output == "u ('A', 'B', 'C') (1, 4, 8)\n"


@pytest.mark.parametrize("words", [("1,4",), ("1", "4"), ("1,", "4,", "1")])
def test_numbers_are_words_or_a_list_with_commas(words):
    assert run("--url", "u", "--models", "A", "--batch-sizes", *words).output == "u ('A',) (1, 4)\n"


@pytest.mark.parametrize("words", [("0",), ("1,-4",), ("four",), ("1.5",), (",",)])
def test_numbers_are_at_least_1(words):
    done = run("--url", "u", "--models", "A", "--batch-sizes", *words)

    assert done.exit_code == 2
    assert "isn't a number of at least 1; give such as 1,4,8" in done.output


def test_a_word_after_another_option_isnt_a_model():
    done = run("--models", "A", "--url", "u", "B")

    assert done.exit_code == 2
    assert "unexpected extra argument (B)" in done.output


@pytest.mark.parametrize("words", [("--models", "--url", "u"), ("--url", "u"), ("--url", "u", "--models")])
def test_a_sweep_without_models_is_refused(words):
    assert run(*words).exit_code == 2


def test_only_the_named_options_are_spread():
    assert spread(["-x", "1", "2", "--a", "3", "4"], {"--a"}) == ["-x", "1", "2", "--a", "3", "--a", "4"]


def test_the_sdks_errors_are_one_line():
    done = run("--url", "nobody", "--models", "A")

    assert (done.exit_code, done.output) == (1, "Error: nobody: no server listens there\n")


def test_ctrl_c_has_the_shells_exit_status():
    done = run("--url", "ctrl-c", "--models", "A")

    assert (done.exit_code, done.output) == (
        130,
        "interrupted; the same command with --resume goes on with what is left\n",
    )
