"""Dockerfiles, read and followed without an engine: as far as files and variables go."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass
class Stage:
    """One stage's instructions, in their order."""

    base: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def all(self, name: str) -> list[str]:
        """The arguments of every instruction of that name."""
        return [value for each, value in self.instructions if each == name]

    def one(self, name: str) -> str:
        """Those of the only one."""
        (found,) = self.all(name)
        return found

    @property
    def entrypoint(self) -> list[str]:
        """The program and its first arguments."""
        found: list[str] = json.loads(self.one("ENTRYPOINT"))
        return found

    @property
    def variables(self) -> dict[str, str]:
        """The environment."""
        return dict(word.split("=", 1) for each in self.all("ENV") for word in each.split())

    @property
    def copies(self) -> list[tuple[list[str], str]]:
        """Sources in the repository, and where they go."""
        words = [each.split() for each in self.all("COPY") if not each.startswith("--from")]
        return [(sources, target) for *sources, target in words]


def stages(path: Path) -> list[Stage]:
    """The stages of a Dockerfile."""
    text = re.sub(r"\\\n", " ", re.sub(r"^\s*#.*\n", "", path.read_text(), flags=re.MULTILINE))
    found: list[Stage] = []
    for line in filter(str.strip, text.splitlines()):
        name, value = line.split(maxsplit=1)
        if name == "FROM":
            found.append(Stage(value))
        elif found:
            found[-1].instructions.append((name, value))
    return found


def lay_out(stage: Stage, folder: Path) -> None:
    """Copy what the stage copies out of the repository, into `folder` as its root; its working directory is /app."""
    ignore = shutil.ignore_patterns("__pycache__")
    for sources, target in stage.copies:
        place = folder / Path("/app", target).relative_to("/")
        for source in sources:
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, place, ignore=ignore, dirs_exist_ok=True)
            else:
                place.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / source, place)
