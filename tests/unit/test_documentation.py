"""The documentation names what there is: every model, every command, every make target."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from scripts import engines, serve
from scripts.tensorrt.gpus import IMAGE
from tests.dockerfiles import stages
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


PAGES = (ROOT / "README.md", ROOT / "README.zh-CN.md", *sorted((ROOT / "docs").glob("*.md")))
SHELL = [block for page in PAGES for block in re.findall(r"```sh\n(.*?)```", page.read_text("utf-8"), re.DOTALL)]
CONTAINERS = [block for block in SHELL if "docker run" in block]


def checked(script: str) -> str:
    """The script, if a shell can read it."""
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    return script


def inside(block: str) -> list[tuple[list[str], list[str]]]:
    """Of each container of the block: docker's own options, and the command that it runs, the image's if none."""
    found = []
    for line in checked(block).replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words[:2] == ["docker", "run"]:
            place = words.index("tritonclas-server")
            options, command = words[2:place], words[place + 1 :]
            found.append(
                (options, command if "--entrypoint" in options else ["python3", "-m", "scripts.serve", *command])
            )
    return found


@pytest.mark.parametrize("block", SHELL, ids=range(len(SHELL)))
def test_shell_in_the_documentation_can_be_read_by_one(block):
    checked(block)


@pytest.mark.parametrize("block", CONTAINERS, ids=range(len(CONTAINERS)))
def test_containers_in_the_documentation_run_what_there_is(block):
    """No engine is at hand: this much can be seen without."""
    assert "docker build -f deploy/Dockerfile -t tritonclas-server ." in block.splitlines()
    for options, (_, _, module, *arguments) in inside(block):
        command = {"scripts.engines": engines.main, "scripts.serve": serve.main}[module]
        command.make_context(module, arguments)
        assert "$PWD/model_repository:/models" + (":ro" if module == "scripts.serve" else "") in options
        if "--entrypoint" in options:
            assert (
                options[options.index("--entrypoint") + 1] == stages(ROOT / "deploy" / "Dockerfile")[-1].entrypoint[0]
            )


def test_a_plan_is_built_before_it_is_served():
    commands = [command[2:] for block in CONTAINERS for _, command in inside(block)]
    served = next(place for place, command in enumerate(commands) if command[0] == "scripts.serve")
    assert commands[served][1:4] == commands[served - 1][1:4] == ["EfficientNetB0", "--profile", "t4-fp16"]
    assert commands[served - 1][0] == "scripts.engines"


def test_the_documentation_names_one_image():
    tags = {tag for page in PAGES for tag in re.findall(r"nvcr\.io/[\w./-]+:[\w.-]*\w", page.read_text("utf-8"))}
    assert tags == {IMAGE}


def test_every_link_in_the_documentation_leads_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
