"""docs/security.md says what is so: the tests that it names exist, and nothing unpickles what others wrote."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE)))

#: Modules that run what a file says.
_RUNS = {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "torch"}
_WRITES = {"pickle.dumps"}
#: The reader that knows three names.
_READER = ROOT / "scripts" / "torch_pickle.py"
#: Sees whether an exception can be pickled, by doing it, there and back.
_OWN = ROOT / "client" / "tritonclas" / "errors.py"


@pytest.mark.parametrize(("file", "name"), NAMED, ids=[name or file for file, name in NAMED])
def test_the_tests_that_are_named_exist(file: str, name: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    assert not name or re.search(rf"^def {name}\(", text, re.MULTILINE)


def sources() -> list[Path]:
    folders = ("client", "scripts", "loadtest", "bench", "backends", "examples")
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def risky(tree: ast.AST) -> set[str]:
    """What a module does that could run what a file says."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names if each.name.partition(".")[0] in _RUNS - {"pickle"}}
            found |= {"pickle" for each in node.names if each.name == "pickle" and each.asname}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in _RUNS:
            found.add(str(node.module))
        elif isinstance(node, ast.Call) and ast.unparse(node).startswith("pickle.loads(pickle.dumps("):
            found.add("its own")
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "pickle":
            found |= {f"pickle.{node.attr}"} - _WRITES
        elif isinstance(node, ast.keyword) and node.arg == "allow_pickle" and not _is_false(node.value):
            found.add("allow_pickle")
    return found


def _is_false(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is False


def test_nothing_unpickles_what_others_wrote() -> None:
    """numpy's own default is allow_pickle=False; ruff (S301, S506, S307, S102) looks for the rest in make check."""
    assert _OWN.read_text(encoding="utf-8").count("pickle.loads(") == 1
    found = {path: risky(ast.parse(path.read_text(encoding="utf-8"))) for path in sources()}
    assert {path: what for path, what in found.items() if what} == {
        _READER: {"pickle.Unpickler", "pickle.UnpicklingError"},
        _OWN: {"pickle.loads", "its own"},
    }


@pytest.mark.parametrize(
    "code",
    [
        "import pickle as p",
        "import pickle; pickle.load(f)",
        "from pickle import loads",
        "import torch.serialization",
        "numpy.load(f, allow_pickle=True)",
        "numpy.load(f, allow_pickle=x)",
    ],
)
def test_it_would_be_found(code: str) -> None:
    assert risky(ast.parse(code))
