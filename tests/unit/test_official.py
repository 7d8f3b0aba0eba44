"""PaddleClas's published archives, from a server in their place: kept once they are whole, refused otherwise."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from scripts import official, unpack
from scripts.errors import ArchiveError
from scripts.fetch import fetch
from tests.unit.tar_files import WHOLE, tar
from tritonclas import zoo

B0 = zoo.find("EfficientNetB0")


@dataclass
class Mirror:
    """What the server answers to any request."""

    url: str
    body: bytes = b""
    status: int = 200
    announced: int | None = None
    requests: list[str] = field(default_factory=list)


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Mirror]:
    """A server that takes PaddleClas's place, and an empty cache."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer.requests.append(self.path)
            self.send_response(answer.status)
            self.send_header("Content-Length", str(answer.announced or len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            """Nothing: the tests' output is theirs."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    answer = Mirror(f"http://127.0.0.1:{server.server_port}/archives/")
    monkeypatch.setenv("TRITONCLAS_ARCHIVES", answer.url)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield answer
    server.shutdown()
    thread.join()
    server.server_close()


def refusal(tmp_path: Path) -> str:
    """What fetch refuses with; nothing is left in the cache."""
    with pytest.raises(ArchiveError) as caught:
        fetch(B0, "official", tmp_path)
    assert list((tmp_path / "cache" / "tritonclas" / "archives").iterdir()) == []
    assert "\n" not in caught.value.message
    return caught.value.message


def test_an_official_archive_is_downloaded_once(mirror: Mirror, tmp_path: Path) -> None:
    mirror.body = tar({"B0_infer/._inference.pdmodel": b"", "B0_infer/inference.pdiparams.info": b"", **WHOLE})

    archives = [fetch(B0, "official", tmp_path) for _ in range(2)]

    assert mirror.requests == ["/archives/EfficientNetB0_infer.tar"]
    assert archives[0] == archives[1]
    assert archives[0].folder == tmp_path / "cache" / "tritonclas" / "archives" / "EfficientNetB0_infer"
    assert (archives[0].kind, archives[0].program.name) == ("official", "inference.pdmodel")
    assert archives[0].source == f"{mirror.url}EfficientNetB0_infer.tar"
    assert {path.name: path.read_bytes() for path in archives[0].folder.iterdir()} == {
        "inference.pdmodel": b"program",
        "inference.pdiparams": b"weights",
    }
    assert [path.name for path in archives[0].folder.parent.iterdir()] == ["EfficientNetB0_infer"]


def test_a_damaged_cache_is_filled_again(mirror: Mirror, tmp_path: Path) -> None:
    mirror.body = tar(WHOLE)
    fetch(B0, "official", tmp_path).parameters.unlink()

    assert fetch(B0, "official", tmp_path).parameters.read_bytes() == b"weights"
    assert len(mirror.requests) == 2


def test_without_a_mirror_it_is_paddleclas_s_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITONCLAS_ARCHIVES", raising=False)

    assert official.archive_url(B0) == B0.archive_url


def test_a_missing_file_is_named(mirror: Mirror, tmp_path: Path) -> None:
    mirror.status = 404

    assert refusal(tmp_path) == (
        f"couldn't download {mirror.url}EfficientNetB0_infer.tar: the server answers 404 Not Found; "
        "give --weights synthetic, or --weights PATH with the archive"
    )


def test_a_body_that_is_cut_short_is_refused(mirror: Mirror, tmp_path: Path) -> None:
    mirror.body = tar(WHOLE)
    mirror.announced = len(mirror.body) + 1

    assert "the connection broke before the end" in refusal(tmp_path)


def test_a_server_that_cant_be_reached_is_named(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("TRITONCLAS_ARCHIVES", f"http://127.0.0.1:{port}")

    assert f"http://127.0.0.1:{port}/EfficientNetB0_infer.tar: the server can't be reached" in refusal(tmp_path)


def test_a_mirror_that_is_no_url_is_named(mirror: Mirror, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TRITONCLAS_ARCHIVES", "somewhere")

    assert "Invalid URL" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<html>not found</html>", "is cut short or no tar file"),
        (tar(WHOLE)[:1600], "is cut short or no tar file"),
        (tar({**WHOLE, "../../inference.json": b"{}"}), "a path that leads outside"),
        (tar({**WHOLE, "/inference.json": b"{}"}), "a path that leads outside"),
        (tar({"inference.pdmodel": b"", "inference.pdiparams": "/etc/passwd"}), "a link"),
        (tar({**WHOLE, "other/inference.pdmodel": b""}), "holds inference.pdmodel more than once"),
        (tar({"inference.pdmodel": b""}), "must hold inference.json or inference.pdmodel, and inference.pdiparams"),
        (tar({"inference.pdiparams": b""}), "must hold inference.json or inference.pdmodel, and inference.pdiparams"),
    ],
    ids=["page", "truncated", "outside", "absolute", "link", "twice", "weightless", "programless"],
)
def test_a_tar_that_isnt_one_archive_is_refused(body: bytes, message: str, mirror: Mirror, tmp_path: Path) -> None:
    mirror.body = body

    assert message in refusal(tmp_path)


def test_members_that_nobody_wants_are_never_written(mirror: Mirror, tmp_path: Path) -> None:
    mirror.body = tar({"../evil": b"", "inference": "/etc", **WHOLE})

    fetch(B0, "official", tmp_path)

    assert not list(tmp_path.rglob("evil"))


def test_a_download_that_is_too_large_is_refused(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(official, "MAX_BYTES", 1000)
    mirror.body = tar(WHOLE)

    assert "it is larger than" in refusal(tmp_path)


def test_a_tar_that_unpacks_to_too_much_is_refused(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(unpack, "MAX_BYTES", 1000)
    mirror.body = tar({**WHOLE, "filler": bytes(1000)}, "w:gz")

    assert "unpacks to more than" in refusal(tmp_path)
