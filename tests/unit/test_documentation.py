"""The documentation names what there is: every model, every command, every make target."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from scripts import engines
from scripts.tensorrt.gpus import IMAGE
from tritonclas import zoo

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = sorted(set(re.findall(r"python -m ([a-z_]+\.[a-z_]+)", README)))


def row(model: zoo.Model) -> str:
    """A model's line in README's table."""
    top1 = f"{model.published.top1:.3f}" if model.published else "-"
    return f"| {model.name} | {model.crop} | {model.gflops:.2f} | {model.parameters / 1e6:.2f} | {top1} |"


@pytest.mark.parametrize("model", zoo.MODELS.values(), ids=lambda model: model.name)
def test_every_model_stands_in_the_readme_as_it_is_in_the_zoo(model):
    assert row(model) in README.splitlines()


def test_every_command_stands_in_the_readme():
    commands = {
        f"scripts.{path.stem}" for path in (ROOT / "scripts").glob("*.py") if "@click.command" in path.read_text()
    }
    named = set(COMMANDS) | {f"scripts.{name}" for name in re.findall(r"`([a-z]+)`", README)}
    assert commands <= named


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_in_the_readme_exist_and_help_with_an_example(command):
    assert find_spec(command)
    done = subprocess.run(
        [sys.executable, "-m", command, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert f"python -m {command}" in done.stdout


def test_every_make_target_says_what_it_does():
    makefile = (ROOT / "Makefile").read_text()
    (targets,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    undocumented = [name for name in targets.split() if not re.search(rf"^{name}:.*## ", makefile, re.MULTILINE)]
    assert not undocumented


def test_make_targets_in_the_readme_exist():
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"`?make ([a-z]+)`?", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
SHELL = [block for page in PAGES for block in re.findall(r"```sh\n(.*?)```", page.read_text("utf-8"), re.DOTALL)]
CONTAINERS = [block for block in SHELL if "docker run" in block]


def checked(script: str) -> str:
    """The script, if a shell can read it."""
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    return script


def inside(block: str) -> list[list[str]]:
    """The words of each command that a container of the block runs."""
    words = shlex.split(block.replace("\\\n", " "), comments=True)
    scripts = [words[place + 2] for place, word in enumerate(words) if words[place : place + 2] == ["sh", "-c"]]
    commands = [shlex.split(command) for script in scripts for command in checked(script).split("&&")]
    return [command[1:] if command[0] == "exec" else command for command in commands]


@pytest.mark.parametrize("block", SHELL, ids=range(len(SHELL)))
def test_shell_in_the_documentation_can_be_read_by_one(block):
    checked(block)


@pytest.mark.parametrize("block", CONTAINERS, ids=range(len(CONTAINERS)))
def test_containers_in_the_documentation_run_what_there_is(block):
    """No engine is at hand: this much can be seen without."""
    commands = inside(block)
    assert block.count("docker run") == block.count(IMAGE) == block.count("sh -c")
    for command in commands:
        if command[:3] == ["python3", "-m", "scripts.engines"]:
            engines.main.make_context("scripts.engines", command[3:])
        elif command[0] == "tritonserver":
            assert "--load-model=EfficientNetB0" in command
            repository = next(word.partition("=")[2] for word in command if word.startswith("--model-repository="))
            home = {"/models": "model_repository:/models", "/tritonclas/model_repository": '"$PWD:/tritonclas"'}
            assert home[repository] in block
        else:
            assert command[:2] == ["pip", "install"]


def test_a_plan_is_checked_before_it_is_served():
    served = [command for block in CONTAINERS for command in inside(block)]
    for place, command in enumerate(served):
        if "--model-config-name=t4-fp16" in command:
            assert served[place - 1][-3:] == ["--profile", "t4-fp16", "--check"]
            return
    pytest.fail("README serves no plan")


def test_the_documentation_names_one_image():
    tags = {tag for page in PAGES for tag in re.findall(r"nvcr\.io/[\w./-]+:[\w.-]*\w", page.read_text("utf-8"))}
    assert tags == {IMAGE}


def test_every_link_in_the_documentation_leads_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
