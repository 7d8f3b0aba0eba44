"""README.zh-CN.md says what README.md says: the same commands, names, pages and figures, in the same places."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from tests.unit.test_documentation import README, ROOT

CHINESE = (ROOT / "README.zh-CN.md").read_text(encoding="utf-8")
_BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def outline(text: str) -> list[str]:
    """What each line is that isn't prose: a heading of some level, a table's row, a block's begin or end."""
    return re.findall(r"^(#+|\||```)", text, re.MULTILINE)


def code(text: str) -> Counter[str]:
    """What is set as code within the prose, however its lines are broken."""
    return Counter(" ".join(each.split()) for each in re.findall(r"`([^`]+)`", _BLOCK.sub("", text)))


def pages(text: str) -> set[str]:
    """Where links go, but for the one to the other language."""
    return {target for target in re.findall(r"\]\(([^)]+)\)", text) if not target.startswith("README")}


def figures(text: str) -> list[str]:
    """The models' rows."""
    return re.findall(r"^\| (?:ResNeXt|Fix_|EfficientNet).*$", text, re.MULTILINE)


def test_blocks_of_commands_and_code_are_the_same() -> None:
    assert _BLOCK.findall(CHINESE) == _BLOCK.findall(README)


@pytest.mark.parametrize("part", [outline, code, pages, figures])
def test_in_step(part) -> None:
    assert part(CHINESE) == part(README)


def test_each_has_a_link_to_the_other() -> None:
    assert "(README.zh-CN.md)" in README
    assert "(README.md)" in CHINESE
