"""Every block of the client's pages runs, one after the other as a reader would run them, on the real server."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet
import pytest
import trustme

from scripts.embedded import EmbeddedServer
from scripts.render import render, write
from tests.triton.conftest import REAL
from tests.unit.test_documentation import ROOT
from tritonclas import Tls, zoo

PAGES = ROOT / "docs" / "client"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)

#: What the output of a page's blocks must have in it, in this order.
SAID = {
    "quickstart": [
        "tiger cat",
        "'request_id'",
        "channels last",
        "(2, 1000) float32",
        "(224, 224, 3) uint8",
        "tiger cat\nmissile",
        '"labels"',
        "READY",
    ],
    "bulk": ["rejected: photos/text.jpg", "answers.jsonl: 3 images classified, 0 rejected", "answers.parquet: 3"],
    "asyncio": ["tiger cat missile", "<Classification by EfficientNetLite0"],
    "deadlines_and_errors": [
        "tiger cat",
        "no answer within 0.0001 s",
        "tiger cat",
        "README.md isn't taken: not a picture",
        "ModelNotFound EfficientNetB99 at",
    ],
    "security": ["tiger cat", "EfficientNetLite0", "EfficientNetLite0"],
    "same_machine": ["tiger cat", "missile"],
    "own_model": ["my_flowers: published", "my_flowers", "by my_flowers version 1", "8", "Rose", "Preprocessing("],
    "observability": [
        "Timing(",
        "Counters(requests=",
        "EfficientNetLite0_net",
        "{1: ",
        '"name": "classify EfficientNetLite0"',
    ],
}


@dataclass
class Reader:
    """Who runs a page's blocks in a folder, with other endpoints in place of those that are written there."""

    folder: Path
    endpoints: Mapping[str, str] = field(default_factory=dict)

    def run(self, page: str) -> str:
        """All that is printed."""
        blocks = BLOCK.findall((PAGES / f"{page}.md").read_text(encoding="utf-8"))
        assert blocks
        return "".join(self.run_block(language, block) for language, block in blocks)

    def run_block(self, language: str, block: str) -> str:
        """What a block prints, in a process of its own."""
        for written, real in self.endpoints.items():
            block = block.replace(written, real)
        command = {"python": [sys.executable, "-W", "error", "-c"], "sh": ["bash", "-euc"]}[language]
        done = subprocess.run(
            [*command, block],
            check=False,
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=200,
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}"
        return done.stdout

    def environment(self) -> dict[str, str]:
        """With this interpreter's commands, and this checkout's modules."""
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        return os.environ | {"PATH": path, "PYTHONPATH": f"{ROOT}:{ROOT / 'client'}", "COLUMNS": "200"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a reader is: with the examples, and a folder of photos, one of which is none."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "photos" / "more").mkdir(parents=True)
    for number, path in enumerate(sorted((ROOT / "examples").glob("*.jpg"))):
        shutil.copy(path, tmp_path / "photos" / ("more" if number else "") / path.name)
    (tmp_path / "photos" / "text.jpg").write_text("text")
    return tmp_path


def with_url(block: str, url: str) -> str:
    """The commands that ask the usual endpoint ask this one."""
    return re.sub(r"^(tritonclas \w+)(?!.*--url)", rf"\1 --url {url}", block, flags=re.MULTILINE)


@dataclass
class AtServer(Reader):
    """A reader with a server at the usual place."""

    url: str = ""

    def run_block(self, language: str, block: str) -> str:
        """With the server's endpoint also where commands leave it out."""
        return super().run_block(language, with_url(block, self.url) if language == "sh" else block)


@pytest.fixture
def reader(folder: Path, server: EmbeddedServer) -> Reader:
    """With the server that all tests share."""
    endpoints = dict.fromkeys(("localhost:8001", "host1:8001", "host2:8001"), server.url)
    return AtServer(folder, endpoints, server.url)


def assert_said(page: str, output: str) -> None:
    at = 0
    for text in SAID[page]:
        assert text in output[at:], f"{text!r} isn't said after {output[:at]!r}, but:\n{output[at:]}"
        at = output.index(text, at) + len(text)


@pytest.mark.parametrize("page", ["quickstart", "asyncio", "deadlines_and_errors", "same_machine", "observability"])
def test_page(page: str, reader: Reader) -> None:
    assert_said(page, reader.run(page))


def test_bulk(reader: Reader) -> None:
    text = reader.folder / "photos" / "text.jpg"
    python, shell = BLOCK.findall((PAGES / "bulk.md").read_text(encoding="utf-8"))
    output = reader.run_block(*python)
    text.unlink()  # with it, each command's exit status would be 1
    output += reader.run_block(*shell)
    assert_said("bulk", output)
    rows = pyarrow.parquet.read_table(reader.folder / "answers.parquet").to_pylist()
    lines = (reader.folder / "answers.jsonl").read_text().splitlines()
    assert [json.loads(line)["image"] for line in lines] == [row["image"] for row in rows]
    assert len(rows) == 3
    assert (reader.folder / "answers.csv").read_text().count("\n") == 4


@pytest.fixture
def secured(folder: Path, repository: Path) -> Iterator[EmbeddedServer]:
    """A server that proves who it is, asks for a certificate, and for a key to see its models."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    for name, stem in (("localhost", "server"), ("client.example", "client")):
        made = authority.issue_cert(name)
        made.cert_chain_pems[0].write_to_path(str(folder / f"{stem}.pem"))
        made.private_key_pem.write_to_path(str(folder / f"{stem}.key"))
    (folder / "admin.key").write_text("a-secret")
    options = [
        "--grpc-use-ssl=1",
        "--grpc-use-ssl-mutual=1",
        f"--grpc-server-cert={folder / 'server.pem'}",
        f"--grpc-server-key={folder / 'server.key'}",
        f"--grpc-root-cert={folder / 'ca.pem'}",
        "--grpc-restricted-protocol=model-repository:admin-key=a-secret",
    ]
    tls = Tls(folder / "ca.pem", folder / "client.pem", folder / "client.key", "localhost")
    with EmbeddedServer([REAL], repository, options=options, tls=tls) as running:
        yield running


def test_security(folder: Path, secured: EmbeddedServer) -> None:
    reader = Reader(folder, {"triton.example:8001": f"localhost:{secured.ports.grpc}"})
    output = reader.run("security")
    assert_said("security", output)
    assert "a-secret" not in output


SAVE = """
import paddle
from pathlib import Path
from paddle.vision.models import resnet18
from tests.triton.own_networks import save
paddle.seed(5)
network = resnet18(num_classes=3)
save(Path("inference"), network, network.fc, 224, softmax=True)
"""


@pytest.mark.slow
def test_own_model(folder: Path) -> None:
    write(render(zoo.MODELS.values()), folder / "models")
    (folder / "inference").mkdir()
    (folder / "flowers.txt").write_text("daisy\nrose\ntulip\n")
    subprocess.run([sys.executable, "-c", SAVE], cwd=folder, env=Reader(folder).environment(), check=True)
    blocks = BLOCK.findall((PAGES / "own_model.md").read_text(encoding="utf-8"))
    output = Reader(folder).run_block(*blocks[0])
    with EmbeddedServer(["my_flowers"], folder / "models") as server:
        reader = Reader(folder, {"localhost:8001": server.url})
        output += "".join(reader.run_block(*block) for block in blocks[1:])
    assert re.search("Gänseblümchen|Rose|Tulpe", output)
    assert_said("own_model", re.sub("Gänseblümchen|Tulpe", "Rose", output))


def test_every_page_is_run() -> None:
    assert {path.stem for path in PAGES.glob("*.md")} == set(SAID)


def test_every_page_is_led_to() -> None:
    quickstart = (PAGES / "quickstart.md").read_text(encoding="utf-8")
    for path in PAGES.glob("*.md"):
        assert path.stem == "quickstart" or f"({path.name})" in quickstart
    assert "(docs/client/quickstart.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
