"""An archive that the project exports itself, published by a server in PaddleClas's place, fetched by the command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.triton.commands import ROOT
from tests.unit.file_server import file_server
from tests.unit.tar_files import tar
from tritonclas import zoo

SMALL = zoo.find("EfficientNetB0_small")

EXPORT = """
import contextlib, sys
from pathlib import Path
from scripts import synthetic
from scripts.assemble import save
from scripts.networks import with_softmax
from scripts.quiet_paddle import paddle
from tritonclas import zoo

layout, folder = sys.argv[1:]
model = zoo.find("EfficientNetB0_small")
with paddle.pir_utils.DygraphOldIrGuard() if layout == "old" else contextlib.nullcontext():
    with paddle.utils.unique_name.guard():
        save(with_softmax(synthetic.build(model)), model.crop, Path(folder))
"""


LAYOUTS = [pytest.param("old", "inference.pdmodel", marks=pytest.mark.slow), ("new", "inference.json")]


@pytest.mark.parametrize(("layout", "program"), LAYOUTS)
def test_an_archive_comes_as_it_was_exported(layout: str, program: str, tmp_path: Path) -> None:
    exported = tmp_path / "exported"
    exported.mkdir()
    subprocess.run([sys.executable, "-c", EXPORT, layout, str(exported)], cwd=ROOT, check=True, capture_output=True)
    files = {path.name: path.read_bytes() for path in exported.iterdir()}
    wanted = {program, "inference.pdiparams"}
    assert wanted <= files.keys()

    with file_server() as server:
        server.serves(tar({f"{SMALL.name}_infer/{name}": content for name, content in files.items()}))
        server.first(drop_after=2_000_000)
        done = fetch_official(server.url, tmp_path)
        again = fetch_official(server.url, tmp_path)

    assert done.returncode == again.returncode == 0, done.stderr + again.stderr
    url = f"{server.url}/{SMALL.name}_infer.tar"
    assert done.stdout == f"{tmp_path / 'out' / SMALL.name}: official weights from {url}\n"
    assert "the connection broke after 2000000 bytes; attempt 2 of 5" in done.stderr
    assert server.ranges == [None, "bytes=2000000-"]
    out = tmp_path / "out" / SMALL.name
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {name: files[name] for name in wanted}
    assert json.loads((tmp_path / "archives.lock").read_text())["archives"][SMALL.name]["mirror"] == url


def fetch_official(url: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The command, with a cache and a lock file of its own."""
    environment = {
        **os.environ,
        "TRITONCLAS_ARCHIVES": url,
        "TRITONCLAS_ARCHIVES_LOCK": str(folder / "archives.lock"),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "NO_PROXY": "127.0.0.1",
    }
    command = [sys.executable, "-m", "scripts.fetch", SMALL.name, "--weights", "official", "--out", str(folder / "out")]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120)
