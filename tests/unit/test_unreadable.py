"""Folders and files that this user may not see or write: a line that names them and says which, never a traceback."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from scripts import fetch
from scripts.archive import Archive
from scripts.downloads import official
from scripts.errors import ScriptError
from scripts.files import write_whole
from scripts.parameters import read_parameters
from scripts.repository import locked
from scripts.unpack import replacing

NOBODY = 65534


@pytest.fixture
def open_path(tmp_path: Path) -> Path:
    """A folder that anybody may go through, up to the root."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.getuid() and not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o055)
    return tmp_path


@pytest.fixture
def as_nobody(open_path: Path) -> Iterator[Path]:
    """The test's folder, without root's rights."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    yield open_path
    if root:
        os.seteuid(0)


@pytest.fixture
def closed(open_path: Path) -> Iterator[Path]:
    """A folder that nobody may look into."""
    folder = open_path / "closed"
    folder.mkdir()
    folder.chmod(0)
    yield folder
    folder.chmod(0o700)


def use_as_repository(path: Path) -> None:
    with locked("flowers", path):
        pass


def use_as_archive_s_place(path: Path) -> None:
    with replacing(path):
        pass


def use_as_cache(path: Path) -> None:
    with official.alone(path):
        pass


WRITERS: list[Callable[[Path], None]] = [
    use_as_repository,
    use_as_archive_s_place,
    use_as_cache,
    lambda path: write_whole(path, "text"),
]


@pytest.mark.parametrize("write", WRITERS, ids=["repository", "archive", "cache", "file"])
@pytest.mark.parametrize("below", ["x", "a/b/x"])
def test_what_cant_be_written_is_said_to_be_so(
    closed: Path, as_nobody: Path, write: Callable[[Path], None], below: str
) -> None:
    with pytest.raises(ScriptError, match=f"{closed / below} can't be written \\(Permission denied\\)"):
        write(closed / below)


@pytest.mark.parametrize("name", ["inference.json", "inference.pdiparams"])
def test_what_cant_be_read_is_said_to_be_so(tiny_archives: Path, as_nobody: Path, name: str) -> None:
    os.seteuid(os.getuid())
    folder = shutil.copytree(tiny_archives / "json", as_nobody / "archive")
    (folder / name).chmod(0)
    if os.getuid() == 0:
        os.seteuid(NOBODY)
    archive = Archive.open(folder, "own", "tests")
    with pytest.raises(ScriptError, match=f"{folder / name} can't be read \\(Permission denied\\)"):
        read_parameters(archive)


def test_a_closed_archive_is_said_to_be_so(closed: Path, as_nobody: Path) -> None:
    words = ["EfficientNetB0", "--weights", str(closed), "--out", str(as_nobody / "out")]
    result = CliRunner().invoke(fetch.main, words)
    assert (result.exit_code, result.output) == (
        1,
        f"Error: {closed} can't be read (Permission denied); give another, or the right to read it\n",
    )
