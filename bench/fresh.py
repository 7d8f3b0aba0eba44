"""What a fresh Python spends on imports."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping

_LINE = re.compile(r"import time: *(\d+) \| *\d+ \| *(\S+)$", re.MULTILINE)


def seconds(statement: str, rounds: int) -> list[float]:
    """From the start of a Python to its end, with this statement in between.

    One before that isn't counted leaves the modules compiled, as a command's first run does.
    """
    return [_once(statement) for _ in range(rounds + 1)][1:]


def _once(statement: str) -> float:
    begin_s = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True, env=_compiling())
    return time.perf_counter() - begin_s


def _compiling() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def by_package(statement: str) -> Mapping[str, float]:
    """Milliseconds that each top-level package's own modules took to import (python -X importtime)."""
    command = [sys.executable, "-X", "importtime", "-c", statement]
    told = subprocess.run(command, check=True, stderr=subprocess.PIPE, text=True, env=_compiling()).stderr
    return packages(told)


def packages(told: str) -> Mapping[str, float]:
    """The same, of what -X importtime has told; what belongs to Python itself is one package."""
    spent: Counter[str] = Counter()
    for microseconds, module in _LINE.findall(told):
        package = module.partition(".")[0]
        spent["Python's own" if package in sys.stdlib_module_names else package] += int(microseconds)
    return {package: microseconds / 1000 for package, microseconds in spent.most_common()}
