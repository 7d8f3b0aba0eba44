"""The documentation names what there is: every model, every command, every make target."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

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


def test_every_link_in_the_documentation_leads_somewhere():
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
