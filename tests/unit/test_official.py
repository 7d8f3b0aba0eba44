"""PaddleClas's published archives, from a server in their place: the same ones for ever, or none."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from hashlib import sha256
from pathlib import Path

import pytest
from filelock import FileLock
from rich.console import Console

from scripts import archive as archive_module
from scripts.downloads import cached, official
from scripts.downloads import download as download_module
from scripts.downloads.archive_lock import ArchiveLock, Entry
from scripts.downloads.patience import Patience
from scripts.errors import ArchiveError
from scripts.fetch import fetch
from tests.unit.file_server import FileServer, file_server
from tests.unit.tar_files import WHOLE, tar
from tritonclas import zoo

B0 = zoo.find("EfficientNetB0")
NAME = "EfficientNetB0_infer"
TAR = tar({"B0_infer/._inference.pdmodel": b"", "B0_infer/inference.pdiparams.info": b"", **WHOLE})
CHANGED = TAR.replace(b"weights", b"WEIGHTS")
FILES = {"inference.pdmodel": b"program", "inference.pdiparams": b"weights"}


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache and no recorded archives: neither the user's nor the repository's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TRITONCLAS_ARCHIVES_LOCK", str(tmp_path / "archives.lock"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(official, "PATIENCE", Patience(first_wait_s=0.01, longest_wait_s=0.1, stall_s=5))
    return tmp_path / "cache" / "tritonclas" / "archives"


@pytest.fixture
def lock(cache: Path) -> ArchiveLock:
    return ArchiveLock.chosen()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Iterator[FileServer]:
    """A mirror of PaddleClas's archives."""
    with file_server() as running:
        monkeypatch.setenv("TRITONCLAS_ARCHIVES", f"{running.url}/archives/")
        running.serves(TAR)
        yield running


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != archive_module.DOWNLOAD}


def shown(folder: Path) -> list[str]:
    """What is in the cache, apart from locks."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def refusal(tmp_path: Path) -> str:
    """What fetch refuses with."""
    with pytest.raises(ArchiveError) as caught:
        fetch(B0, "official", tmp_path)
    assert "\n" not in caught.value.message
    return caught.value.message


def test_an_official_archive_is_downloaded_once(server: FileServer, cache: Path, tmp_path: Path) -> None:
    archives = [fetch(B0, "official", tmp_path) for _ in range(2)]

    assert [request.path for request in server.requests] == [f"/archives/{NAME}.tar"]
    assert archives[0] == archives[1]
    assert archives[0].folder == cache / NAME
    assert (archives[0].kind, archives[0].program.name) == ("official", "inference.pdmodel")
    assert archives[0].source == f"{server.url}/archives/{NAME}.tar"
    assert contents(archives[0].folder) == FILES
    assert shown(cache) == [NAME]


def test_new_archives_come_as_old_ones_do(server: FileServer, tmp_path: Path) -> None:
    server.serves(tar({"inference.json": b"{}", "inference.pdiparams": b"weights", "inference.yml": b"Global:"}))

    archive = fetch(B0, "official", tmp_path)

    assert archive.program.name == "inference.json"
    assert (archive.folder / "inference.yml").read_bytes() == b"Global:"


def test_the_first_download_is_recorded(
    server: FileServer, lock: ArchiveLock, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fetch(B0, "official", tmp_path)

    entry = lock.find("EfficientNetB0")
    mirror = f"{server.url}/archives/{NAME}.tar"
    digest = sha256(TAR).hexdigest()
    today = datetime.now(timezone.utc).date().isoformat()
    assert entry == Entry(str(B0.archive_url), len(TAR), digest, today, mirror)
    assert capsys.readouterr().err.splitlines() == [
        f"{NAME}.tar: 0.0 MB downloaded, sha256 {digest[:12]}…, from the mirror {mirror}",
        f"EfficientNetB0: the first download, recorded in {lock.path}; later ones must match",
    ]
    fetch(B0, "official", tmp_path)
    assert capsys.readouterr().err == ""


def test_without_a_mirror_it_is_paddleclas_s_url(
    server: FileServer, lock: ArchiveLock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITONCLAS_ARCHIVES", "")
    assert official.archive_url(B0) == B0.archive_url

    monkeypatch.setattr(zoo, "OFFICIAL_ARCHIVES", f"{server.url}/upstream")
    archive = fetch(B0, "official", tmp_path)

    entry = lock.find("EfficientNetB0")
    assert entry
    assert (entry.url, entry.mirror) == (archive.source, None)
    assert archive.source == f"{server.url}/upstream/{NAME}.tar"


def test_a_later_download_must_match(
    server: FileServer, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fetch(B0, "official", tmp_path)
    shutil.rmtree(cache)

    assert contents(fetch(B0, "official", tmp_path).folder) == FILES
    assert "…, as recorded, from the mirror" in capsys.readouterr().err


@pytest.mark.parametrize("body", [CHANGED, TAR + bytes(512), TAR[:-512]], ids=["same size", "larger", "smaller"])
def test_another_file_is_refused_and_not_kept(
    server: FileServer, cache: Path, lock: ArchiveLock, tmp_path: Path, body: bytes
) -> None:
    fetch(B0, "official", tmp_path)
    recorded = lock.path.read_text()
    shutil.rmtree(cache)
    server.serves(body)

    message = refusal(tmp_path)

    digest = sha256(body).hexdigest()[:12]
    now = f"it has sha256 {digest}… and {len(body)} bytes" if body == CHANGED else f"it has {len(body)} bytes"
    assert message == (
        f"{server.url}/archives/{NAME}.tar isn't the archive that {lock.path} records: {now}, not sha256 "
        f"{sha256(TAR).hexdigest()[:12]}… and {len(TAR)} bytes; if PaddleClas has published a new one that you trust, "
        "delete the entry EfficientNetB0 there and try again"
    )
    assert shown(cache) == []
    assert lock.path.read_text() == recorded
    lock.path.unlink()
    fetch(B0, "official", tmp_path)


def test_a_chunked_file_of_another_size_is_refused(server: FileServer, cache: Path, tmp_path: Path) -> None:
    fetch(B0, "official", tmp_path)
    shutil.rmtree(cache)
    server.serves(TAR + b"more", chunked=True)

    assert f"it has more than {len(TAR)} bytes, not sha256" in refusal(tmp_path)


def test_a_cache_of_another_archive_than_is_recorded_is_filled_again(
    server: FileServer, lock: ArchiveLock, tmp_path: Path
) -> None:
    fetch(B0, "official", tmp_path)
    lock.path.unlink()
    lock.add("EfficientNetB0", Entry(str(B0.archive_url), len(CHANGED), sha256(CHANGED).hexdigest(), "2024-01-31"))
    server.serves(CHANGED)

    assert fetch(B0, "official", tmp_path).parameters.read_bytes() == b"WEIGHTS"
    assert len(server.requests) == 2


def test_what_is_in_the_cache_is_recorded_where_it_isnt(server: FileServer, lock: ArchiveLock, tmp_path: Path) -> None:
    fetch(B0, "official", tmp_path)
    recorded = lock.path.read_text()
    lock.path.unlink()

    fetch(B0, "official", tmp_path)

    assert lock.path.read_text() == recorded
    assert len(server.requests) == 1


def truncate(folder: Path) -> None:
    os.truncate(folder / "inference.pdiparams", 3)


def change(folder: Path) -> None:
    (folder / "inference.pdiparams").write_bytes(b"WEIGHTS")


def remove(folder: Path) -> None:
    (folder / "inference.pdmodel").unlink()


def forget(folder: Path) -> None:
    (folder / archive_module.DOWNLOAD).unlink()


def garble(folder: Path) -> None:
    (folder / archive_module.DOWNLOAD).write_text('{"entry": {}, "files": []}')


@pytest.mark.parametrize("damage", [truncate, change, remove, forget, garble])
@pytest.mark.parametrize("known", [True, False])
def test_a_damaged_cache_is_filled_again(
    server: FileServer, lock: ArchiveLock, tmp_path: Path, damage: Callable[[Path], None], known: bool
) -> None:
    damage(fetch(B0, "official", tmp_path).folder)
    if not known:
        lock.path.unlink()

    assert contents(fetch(B0, "official", tmp_path).folder) == FILES
    assert len(server.requests) == 2


def test_files_are_hashed_once_after_their_times_have_changed(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fetch(B0, "official", tmp_path).folder
    hashed: list[str] = []

    def counting(path: Path) -> str:
        hashed.append(path.name)
        return sha256(path.read_bytes()).hexdigest()

    monkeypatch.setattr(cached, "sha256_of", counting)
    fetch(B0, "official", tmp_path)
    assert hashed == []
    os.utime(folder / "inference.pdiparams", (0, 0))
    for _ in range(2):
        fetch(B0, "official", tmp_path)
    assert hashed == ["inference.pdiparams"]
    assert len(server.requests) == 1


def test_files_are_on_the_disk_before_they_are_noted(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[tuple[int, bool]] = []
    really = os.fsync

    def watch(file: int) -> None:
        noted = list(tmp_path.glob(f"cache/tritonclas/archives/.*/new/{archive_module.DOWNLOAD}"))
        flushed.append((os.fstat(file).st_ino, bool(noted)))
        really(file)

    monkeypatch.setattr(os, "fsync", watch)
    archive = fetch(B0, "official", tmp_path)

    inodes = {path.stat().st_ino for path in (archive.program, archive.parameters)}
    assert set(flushed) == {(inode, False) for inode in inodes}


def test_a_lock_file_that_cant_be_written_is_only_warned_of(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TRITONCLAS_ARCHIVES_LOCK", str(tmp_path / "file" / "archives.lock"))

    fetch(B0, "official", tmp_path)

    assert capsys.readouterr().err.splitlines()[1:] == [
        f"Warning: EfficientNetB0's archive couldn't be recorded in {tmp_path}/file/archives.lock, "
        "which can't be written"
    ]


def test_a_broken_lock_file_stops_it(server: FileServer, lock: ArchiveLock, tmp_path: Path) -> None:
    lock.path.write_text("<<<<<<< HEAD")

    assert f"{lock.path} can't be used: it isn't the JSON that it should be" in refusal(tmp_path)
    assert server.requests == []


def test_what_isnt_an_archive_isnt_recorded_or_kept(
    server: FileServer, cache: Path, lock: ArchiveLock, tmp_path: Path
) -> None:
    server.serves(b"<html>not found</html>")

    assert refusal(tmp_path) == f"{server.url}/archives/{NAME}.tar is cut short or no tar file; get it again"
    assert shown(cache) == []
    assert not lock.path.exists()


def test_a_refused_archive_leaves_the_one_that_was_there(server: FileServer, cache: Path, tmp_path: Path) -> None:
    folder = fetch(B0, "official", tmp_path).folder
    forget(folder)
    server.serves(CHANGED)

    refusal(tmp_path)

    assert contents(cache / NAME) == FILES


def test_a_broken_download_is_kept_for_the_next_run(server: FileServer, cache: Path, tmp_path: Path) -> None:
    for _ in range(5):
        server.first(drop_after=1000, ranges=False)

    message = refusal(tmp_path)

    assert message == (
        f"couldn't download {server.url}/archives/{NAME}.tar: the connection broke after 1000 bytes (5 attempts); "
        "run it again to go on after the 0.0 MB that came, or give --weights synthetic, or --weights PATH with the "
        "archive"
    )
    assert shown(cache) == [f"{NAME}.tar", f"{NAME}.tar.json"]
    fetch(B0, "official", tmp_path)
    assert server.ranges[5:] == ["bytes=1000-"]
    assert shown(cache) == [NAME]


def test_a_run_that_ends_while_it_unpacks_has_downloaded(
    server: FileServer, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(official, "extract", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fetch(B0, "official", tmp_path)
    killed = cache / f".{NAME}-killed"
    killed.mkdir()
    other = cache / ".EfficientNetB0_small_infer-running"
    other.mkdir()

    fetch(B0, "official", tmp_path)

    assert len(server.requests) == 1
    assert shown(cache) == [other.name, NAME]


def leave(cache: Path) -> list[Path]:
    """What runs leave that are killed while they unpack, and just after."""
    left = [cache / f".{NAME}-killed", cache / f"{NAME}.tar", cache / f"{NAME}.tar.json"]
    left[0].mkdir()
    for path in left[1:]:
        path.touch()
    return left


def test_what_a_killed_run_left_goes_also_when_nothing_is_downloaded(
    server: FileServer, cache: Path, tmp_path: Path
) -> None:
    fetch(B0, "official", tmp_path)
    left = leave(cache)
    fetch(B0, "official", tmp_path)
    assert not any(path.exists() for path in left)
    assert len(server.requests) == 1


@pytest.mark.parametrize("why", ["read-only", "busy"])
def test_a_whole_archive_is_used_though_nothing_can_be_tidied(
    server: FileServer, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    fetch(B0, "official", tmp_path)
    left = leave(cache)
    with contextlib.ExitStack() as stack:
        if why == "busy":
            stack.enter_context(FileLock(official.lock_file(cache / NAME)))
        else:
            monkeypatch.setattr(FileLock, "acquire", denied)
        assert fetch(B0, "official", tmp_path).folder == cache / NAME
    assert all(path.exists() for path in left)


def denied(*_: object, **__: object) -> None:
    raise PermissionError(13, "Permission denied")


def test_a_missing_file_is_named(server: FileServer, cache: Path, tmp_path: Path) -> None:
    server.serves(b"", status=404)

    assert refusal(tmp_path) == (
        f"couldn't download {server.url}/archives/{NAME}.tar: the server answers 404 Not Found; "
        "give --weights synthetic, or --weights PATH with the archive"
    )
    assert shown(cache) == []


def test_a_server_that_cant_be_reached_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setenv("TRITONCLAS_ARCHIVES", url)

    assert f"couldn't download {url}/{NAME}.tar: the server can't be reached (2 attempts); give" in refusal(tmp_path)


@pytest.mark.parametrize("mirror", ["somewhere", "file:///archives", "ftp://host"])
def test_a_mirror_that_is_no_url_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mirror: str) -> None:
    monkeypatch.setenv("TRITONCLAS_ARCHIVES", mirror)

    assert f"TRITONCLAS_ARCHIVES is '{mirror}': set it to the http or https URL of a folder" in refusal(tmp_path)


@pytest.mark.parametrize("mirror", ["http://", "http://[", "http://user:secret@"])
def test_a_url_that_is_none_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mirror: str) -> None:
    monkeypatch.setenv("TRITONCLAS_ARCHIVES", mirror)

    message = refusal(tmp_path)
    assert "give --weights synthetic" in message
    assert "secret" not in message


def test_a_mirror_s_password_is_kept_secret(
    server: FileServer, cache: Path, lock: ArchiveLock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITONCLAS_ARCHIVES", f"{server.url}/archives".replace("//", "//user:secret@"))

    archive = fetch(B0, "official", tmp_path)

    assert str(server.requests[0].authorization).startswith("Basic ")
    record = (archive.folder / archive_module.DOWNLOAD).read_text()
    assert "secret" not in archive.source + lock.path.read_text() + record


def test_a_download_that_is_too_large_is_refused(
    server: FileServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(official, "MAX_BYTES", len(TAR) - 1)

    assert "it is larger than" in refusal(tmp_path)


def test_there_must_be_room_for_the_tar_and_what_is_in_it(
    server: FileServer, cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=2 * len(TAR) - 1)
    monkeypatch.setattr(download_module.shutil, "disk_usage", lambda _: usage)

    assert f"MB in {cache}, where 0.0 MB are free; make room there, or give --weights synthetic" in refusal(tmp_path)


def test_a_cache_that_cant_be_written_is_named(
    server: FileServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))

    assert refusal(tmp_path).startswith(
        f"{tmp_path}/file/tritonclas/archives/{NAME} can't be written (Not a directory)"
    )


def test_a_disk_that_fills_up_is_named(
    server: FileServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: Path
) -> None:
    monkeypatch.setattr("scripts.downloads.partial.Partial.begin", full)

    assert f"{cache}/{NAME} can't be written (No space left on device)" in refusal(tmp_path)


def full(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_note_that_cant_be_written_is_named(
    server: FileServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Path, "write_text", full)

    assert "can't be written (No space left on device); make room there" in refusal(tmp_path)


def test_another_run_isnt_waited_for_for_ever(
    server: FileServer, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(official, "LONGEST_WAIT_S", 0.05)
    cache.mkdir(parents=True)
    held = cache / f".{NAME}.lock"

    with FileLock(held):
        assert refusal(tmp_path) == (
            f"another run has been downloading {NAME} for 0.05 s; wait for it or end it (it holds {held})"
        )
    fetch(B0, "official", tmp_path)


COMMAND = [sys.executable, "-m", "scripts.fetch", "EfficientNetB0", "--weights", "official", "--out"]


def test_two_runs_at_once_download_once(server: FileServer, root: Path, tmp_path: Path) -> None:
    server.first(stall_after=1000)
    first = subprocess.Popen([*COMMAND, tmp_path / "first"], cwd=root, stderr=subprocess.PIPE, text=True)
    assert server.stalled.wait(60)
    second = subprocess.Popen([*COMMAND, tmp_path / "second"], cwd=root, stderr=subprocess.PIPE, text=True)
    assert first.stderr
    assert second.stderr
    assert "Another run is downloading EfficientNetB0_infer; waiting for it" in second.stderr.readline()
    server.released.set()

    said = [process.communicate(timeout=60)[1] for process in (first, second)]

    assert (first.returncode, second.returncode) == (0, 0), said
    assert server.ranges == [None, "bytes=1000-"]
    assert contents(tmp_path / "first" / "EfficientNetB0") == FILES
    assert contents(tmp_path / "second" / "EfficientNetB0") == FILES


def test_two_runs_with_caches_of_their_own_record_one_archive(
    server: FileServer, lock: ArchiveLock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Entry(str(B0.archive_url), len(CHANGED), sha256(CHANGED).hexdigest(), "2024-01-31")
    really = official.extract

    def meanwhile(*arguments: object) -> None:
        lock.add("EfficientNetB0", other)
        really(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(official, "extract", meanwhile)

    assert "isn't the archive that" in refusal(tmp_path)
    assert lock.find("EfficientNetB0") == other


def test_a_terminal_sees_how_far_it_is(server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Console(file=io.StringIO(), force_terminal=True, width=120)
    monkeypatch.setattr(download_module, "progress_console", terminal)

    fetch(B0, "official", tmp_path)

    assert isinstance(terminal.file, io.StringIO)
    assert f"{NAME}.tar" in terminal.file.getvalue()
    assert "10.2/10.2 kB" in terminal.file.getvalue()


def test_the_cache_is_the_user_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/someone")

    assert official.cache_folder() == Path("/home/someone/.cache/tritonclas/archives")
