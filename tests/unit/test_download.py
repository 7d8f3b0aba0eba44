"""A file over HTTP from servers that break, stall, drip, lie and change their minds: whole or not at all."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests
from requests.structures import CaseInsensitiveDict

from scripts.downloads import download as download_module
from scripts.downloads import http_answers
from scripts.downloads.download import DownloadError, OtherSize, download
from scripts.downloads.http_answers import Passing, Refused
from scripts.downloads.partial import Note, Partial
from scripts.downloads.patience import Pace, Patience
from tests.unit.file_server import LONG_AGO, FileServer, file_server

BODY = bytes(range(256)) * 1000
OTHER = BODY[::-1]
HALF = len(BODY) // 2
QUICK = Patience(first_wait_s=0.01, longest_wait_s=0.2, stall_s=0.3, slow_bytes_per_s=5000, slow_period_s=0.2)
GOES_ON = f"bytes={HALF}-"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    with file_server() as running:
        running.serves(BODY)
        yield running


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache" / "file.tar"


def get(server: FileServer, path: Path, patience: Patience = QUICK, **limits: Any) -> bytes:
    download(f"{server.url}/file.tar", path, patience=patience, **({"max_bytes": 2**30} | limits))
    return path.read_bytes()


def failure(server: FileServer, path: Path, **options: Any) -> DownloadError:
    with pytest.raises(DownloadError) as caught:
        get(server, path, **options)
    assert "\n" not in caught.value.message
    return caught.value


def broken_off(server: FileServer, path: Path, after: int = HALF, **how: Any) -> None:
    """The first run: a part came, and then nothing."""
    server.first(drop_after=after, **how)
    failure(server, path, patience=Patience(attempts=1))
    server.requests.clear()


def test_a_file_comes_whole(server: FileServer, path: Path) -> None:
    assert get(server, path) == BODY
    assert server.ranges == [None]
    assert server.requests[0].accept_encoding == "identity"


@pytest.mark.parametrize("how", [{}, {"etag": None, "modified": None}], ids=["version", "no version"])
def test_what_is_whole_isnt_asked_for_again(server: FileServer, path: Path, how: dict[str, Any]) -> None:
    server.serves(BODY, **how)
    get(server, path)

    assert get(server, path) == BODY
    assert len(server.requests) == 1


def test_nothing_is_left_of_what_is_discarded(server: FileServer, path: Path) -> None:
    get(server, path)
    assert len(list(path.parent.iterdir())) == 2

    Partial(path).discard()

    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("reset", [False, True])
def test_a_broken_connection_is_gone_on_with(server: FileServer, path: Path, reset: bool) -> None:
    server.first(drop_after=HALF, reset=reset)

    assert get(server, path) == BODY
    assert server.ranges[0] is None
    assert re.fullmatch(r"bytes=[1-9]\d*-" if reset else GOES_ON, str(server.ranges[1]))
    assert server.requests[1].if_range == server.answer.tag


def test_the_next_run_goes_on(server: FileServer, path: Path) -> None:
    broken_off(server, path)

    assert get(server, path) == BODY
    assert server.ranges == [GOES_ON]


def test_a_killed_run_is_gone_on_with(server: FileServer, path: Path) -> None:
    server.first(stall_after=HALF)
    script = f"""
from pathlib import Path
from scripts.downloads.download import download
download("{server.url}/file.tar", Path("{path}"), max_bytes=2**30)
"""
    with subprocess.Popen([sys.executable, "-c", script]) as process:
        try:
            assert server.stalled.wait(60)
            wait_until(lambda: path.is_file() and path.stat().st_size > 0)
        finally:
            process.send_signal(signal.SIGKILL)
    kept = path.stat().st_size

    assert get(server, path) == BODY
    assert server.ranges == [None, f"bytes={kept}-"]


def wait_until(condition: Callable[[], object], limit_s: float = 30) -> None:
    pause = threading.Event()
    for _ in range(int(limit_s / 0.01)):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("the condition didn't come true in time")


def test_a_changed_file_isnt_glued_to_the_old_one(server: FileServer, path: Path) -> None:
    broken_off(server, path)
    server.serves(OTHER)

    assert get(server, path) == OTHER
    assert server.ranges == [GOES_ON]


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_a_time_of_change_stands_in_for_a_strong_tag(server: FileServer, path: Path, etag: str | None) -> None:
    server.serves(BODY, etag=etag)
    broken_off(server, path)

    assert get(server, path) == BODY
    assert server.ranges == [GOES_ON]
    assert server.requests[0].if_range == LONG_AGO


def test_a_time_of_change_neednt_be_repeated(server: FileServer, path: Path) -> None:
    server.serves(BODY, etag=None)
    broken_off(server, path)
    server.first(modified=None, if_range=False)

    assert get(server, path) == BODY
    assert server.ranges == [GOES_ON]


CHANGED = {"etag": None, "modified": "Tue, 02 Jan 2024 00:00:00 GMT"}


@pytest.mark.parametrize(
    ("before", "after"), [({}, {}), ({}, {"etag": None}), ({"etag": None}, CHANGED)], ids=["tag", "no tag", "time"]
)
def test_a_server_that_goes_on_with_another_file_isnt_believed(
    server: FileServer, path: Path, before: dict[str, Any], after: dict[str, Any]
) -> None:
    server.serves(BODY, **before)
    broken_off(server, path)
    server.serves(OTHER, if_range=False, **after)

    assert get(server, path) == OTHER
    assert server.ranges == [GOES_ON, None]


@pytest.mark.parametrize(
    "content_range", [f"bytes 0-{HALF}/{len(BODY)}", f"bytes {HALF}-{len(BODY)}/{len(BODY) + 1}", "nonsense"]
)
def test_a_part_that_wasnt_asked_for_isnt_taken(server: FileServer, path: Path, content_range: str) -> None:
    broken_off(server, path)
    server.first(headers={"Content-Range": content_range})

    assert get(server, path) == BODY
    assert server.ranges == [GOES_ON, None]


def test_a_server_without_ranges_begins_anew(server: FileServer, path: Path) -> None:
    server.serves(BODY, ranges=False)
    broken_off(server, path)

    assert get(server, path) == BODY
    assert server.ranges == [GOES_ON]


def test_without_a_version_no_part_is_asked_for(server: FileServer, path: Path) -> None:
    server.serves(BODY, etag=None, modified=None)
    broken_off(server, path)

    get(server, path)

    assert server.ranges == [None]


def test_a_file_that_may_change_within_the_second_isnt_gone_on_with(server: FileServer, path: Path) -> None:
    server.serves(BODY, etag=None, modified=format_datetime(datetime.now(timezone.utc) + timedelta(1), usegmt=True))
    broken_off(server, path)

    get(server, path)

    assert server.ranges == [None]


def test_an_unsatisfiable_range_begins_anew(server: FileServer, path: Path) -> None:
    broken_off(server, path)
    server.first(status=416)

    assert get(server, path) == BODY
    assert server.ranges == [GOES_ON, None]


def test_a_part_of_another_url_isnt_gone_on_with(server: FileServer, path: Path) -> None:
    broken_off(server, path)

    download(f"{server.url}/other.tar", path, max_bytes=2**30, patience=QUICK)

    assert server.ranges == [None]


@pytest.mark.parametrize(
    "note",
    [
        "",
        "[]",
        "{}",
        '{"url": "URL", "etag": 1, "modified": null, "total": 256000}',
        '{"url": "URL", "etag": "1", "modified": 1, "total": 256000}',
        '{"url": "URL", "etag": "1", "modified": null, "total": "256000"}',
        '{"url": 1, "etag": "1", "modified": null, "total": 256000}',
    ],
)
def test_a_damaged_note_begins_anew(server: FileServer, path: Path, note: str) -> None:
    broken_off(server, path)
    Partial(path).note_path.write_text(note.replace("URL", f"{server.url}/file.tar"))

    assert get(server, path) == BODY
    assert server.ranges == [None]


def test_a_part_that_is_larger_than_the_whole_begins_anew(server: FileServer, path: Path) -> None:
    broken_off(server, path)
    path.write_bytes(BODY + b"more")

    assert get(server, path) == BODY
    assert server.ranges == [None]


def test_the_part_lies_empty_before_its_note_is_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(b"of another file")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("scripts.downloads.partial.write_whole", killed)
    with pytest.raises(KeyboardInterrupt):
        Partial(path).begin(Note("url", None, None, 1))

    assert path.read_bytes() == b""


def test_attempts_are_bounded_whatever_has_come(server: FileServer, path: Path) -> None:
    for after in range(1, 9):
        server.first(drop_after=after)

    error = failure(server, path)

    assert error.why.endswith("(5 attempts)")
    assert error.why.startswith("the connection broke after ")
    assert error.remedy.startswith("run it again to go on after the ")
    assert len(server.requests) == 5


def test_a_body_shorter_than_announced_is_refused(server: FileServer, path: Path) -> None:
    server.serves(BODY, length=len(BODY) + 1, ranges=False)

    assert "the connection broke after" in failure(server, path).why
    assert len(server.requests) == 5


def test_a_rest_that_ends_early_is_asked_for_again(server: FileServer, path: Path) -> None:
    broken_off(server, path)
    server.first(length=10, drop_after=10)

    assert get(server, path) == BODY
    assert server.ranges == [GOES_ON, f"bytes={HALF + 10}-"]


def test_a_body_longer_than_announced_ends_where_it_was_announced(server: FileServer, path: Path) -> None:
    server.serves(BODY, length=100)

    assert get(server, path) == BODY[:100]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_passes_is_tried_again(server: FileServer, path: Path, status: int) -> None:
    server.first(status=status)

    assert get(server, path) == BODY
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("status", "named"), [(404, "404 Not Found"), (403, "403 Forbidden"), (416, "416 "), (299, "299")]
)
def test_what_stays_isnt(server: FileServer, path: Path, status: int, named: str) -> None:
    server.serves(BODY, status=status)

    assert failure(server, path).why.startswith(f"the server answers {named}")
    assert len(server.requests) == 1


def test_a_part_without_having_asked_for_one_is_refused(server: FileServer, path: Path) -> None:
    server.serves(BODY, status=206)

    assert "206 Partial Content" in failure(server, path).why


def test_the_server_says_how_long_to_wait(server: FileServer, path: Path) -> None:
    server.first(status=503, headers={"Retry-After": "1"})

    began = datetime.now(timezone.utc)
    assert get(server, path, Patience(first_wait_s=0.01, longest_wait_s=5)) == BODY
    assert datetime.now(timezone.utc) - began >= timedelta(seconds=1)


def test_a_server_that_asks_for_a_long_wait_is_given_up(server: FileServer, path: Path) -> None:
    server.serves(BODY, status=429, headers={"Retry-After": "3600"})

    assert failure(server, path).why == "the server answers 429 Too Many Requests, and to wait 3600 s"
    assert len(server.requests) == 1


def answered(**headers: str) -> requests.Response:
    response = requests.Response()
    response.headers = CaseInsensitiveDict({name.replace("_", "-"): value for name, value in headers.items()})
    return response


def test_the_wait_may_be_a_date() -> None:
    later = format_datetime(datetime.now(timezone.utc) + timedelta(minutes=1), usegmt=True)

    assert 55 < http_answers.retry_after_s(answered(Retry_After=later)) <= 60
    assert http_answers.retry_after_s(answered(Retry_After=LONG_AGO)) == 0
    assert http_answers.retry_after_s(answered(Retry_After="soon")) == 0
    assert http_answers.retry_after_s(answered()) == 0


def test_waits_grow_and_differ(server: FileServer, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server.serves(BODY, status=500)

    failure(server, path, patience=Patience(first_wait_s=0.1, longest_wait_s=0.3))

    waits = [float(wait) for wait in re.findall(r"attempt \d of 5 in ([0-9.]+) s", capsys.readouterr().err)]
    assert len(waits) == 4
    assert 0.1 <= waits[0] <= 0.2
    assert 0.2 <= waits[1] <= 0.3
    assert all(0.3 <= wait <= 0.4 for wait in waits[2:])


@pytest.fixture
def nobody() -> str:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"http://127.0.0.1:{free.getsockname()[1]}/file.tar"


def test_a_server_that_never_answers_is_given_up_early(
    nobody: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")

    with pytest.raises(DownloadError) as caught:
        download(nobody, path, max_bytes=2**30, patience=QUICK)

    assert caught.value.message == f"couldn't download {nobody}: the server can't be reached (2 attempts)"
    assert not path.exists()


def test_a_name_and_a_password_arent_shown_or_kept(server: FileServer, path: Path) -> None:
    url = server.url.replace("http://", "http://user:secret@") + "/file.tar"
    server.first(drop_after=HALF)
    server.first(status=404)

    with pytest.raises(DownloadError) as caught:
        download(url, path, max_bytes=2**30, patience=QUICK)

    assert caught.value.url == f"{server.url}/file.tar"
    assert "secret" not in caught.value.message + Partial(path).note_path.read_text()
    assert str(server.requests[0].authorization).startswith("Basic ")


@pytest.mark.parametrize("after", [0, HALF])
def test_a_server_that_stalls_is_given_up(
    server: FileServer, path: Path, after: int, capsys: pytest.CaptureFixture[str]
) -> None:
    server.first(stall_after=after)

    assert get(server, path) == BODY
    assert server.ranges == [None, GOES_ON if after else None]
    assert "nothing came for 0.3 s; attempt 2 of 5" in capsys.readouterr().err


def test_a_server_that_never_begins_to_answer_is_given_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/file.tar"
        with pytest.raises(DownloadError, match=r"no answer within 0.3 s \(2 attempts\)"):
            download(url, path, max_bytes=2**30, patience=QUICK)


def test_a_server_that_drips_is_given_up(server: FileServer, path: Path) -> None:
    server.serves(BODY, drip_after=0)

    assert "it came too slowly, " in failure(server, path).why
    assert len(server.requests) == 5
    assert all(server.ranges[1:])


def test_the_pace_is_that_of_a_period() -> None:
    now = [0.0]
    pace = Pace(Patience(slow_bytes_per_s=10, slow_period_s=60), lambda: now[0])

    for now[0], received in [(1, 0), (59, 0), (60, 600), (119, 0), (120, 600)]:
        pace.add(received)
    now[0] = 180
    with pytest.raises(Passing, match="10 bytes a second"):
        pace.add(599)


def test_too_large_a_file_isnt_begun(server: FileServer, path: Path) -> None:
    assert "it is larger than" in failure(server, path, max_bytes=len(BODY) - 1).why
    assert list(path.parent.iterdir()) == []
    assert get(server, path, max_bytes=len(BODY)) == BODY


def test_a_file_without_a_length_needs_an_end(server: FileServer, path: Path) -> None:
    server.serves(BODY, length=None)

    assert "doesn't say how large it is" in failure(server, path).why
    assert get(server, path, exact_bytes=len(BODY)) == BODY


def test_chunks_have_an_end(server: FileServer, path: Path) -> None:
    server.serves(BODY, chunked=True)

    assert get(server, path) == BODY
    assert get(server, path) == BODY
    assert len(server.requests) == 1


def test_of_chunks_no_length_counts(server: FileServer, path: Path) -> None:
    server.serves(BODY, chunked=True, headers={"Content-Length": "5"})

    assert get(server, path) == BODY


def test_chunks_without_an_end_are_broken(server: FileServer, path: Path) -> None:
    server.serves(BODY, chunked=True)
    server.first(drop_after=HALF)

    assert get(server, path) == BODY
    assert server.ranges == [None, None]


@pytest.mark.parametrize("exact", [None, HALF])
def test_chunks_without_end_are_cut(server: FileServer, path: Path, exact: int | None) -> None:
    server.serves(BODY, chunked=True)

    error = failure(server, path, max_bytes=HALF, exact_bytes=exact)

    assert isinstance(error, OtherSize) is (exact is not None)
    assert list(path.parent.iterdir()) == []


def test_a_rest_longer_than_the_whole_is_refused(server: FileServer, path: Path) -> None:
    broken_off(server, path)
    content_range = f"bytes {HALF}-{len(BODY) - 1}/{len(BODY)}"
    tag = str(server.answer.tag)
    server.serves(BODY + b"more", chunked=True, if_range=False, etag=tag, headers={"Content-Range": content_range})

    assert "larger than the 256000 bytes that the server announced" in failure(server, path).why
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("difference", [-1, 1, -len(BODY)])
def test_another_size_than_is_known_is_refused(server: FileServer, path: Path, difference: int) -> None:
    broken_off(server, path)
    server.serves(BODY[: len(BODY) + difference] if difference < 0 else BODY + b"x")

    error = failure(server, path, exact_bytes=len(BODY))

    assert isinstance(error, OtherSize)
    assert error.why == f"it has {len(BODY) + difference} bytes"
    assert list(path.parent.iterdir()) == []


def test_a_part_of_a_file_of_another_size_isnt_gone_on_with(server: FileServer, path: Path) -> None:
    broken_off(server, path)

    assert isinstance(failure(server, path, exact_bytes=len(BODY) + 1), OtherSize)
    assert server.ranges == [None]


@pytest.mark.parametrize(("free", "fits"), [(len(BODY) * 2, True), (len(BODY) * 2 - 1, False)])
def test_there_must_be_room_for_it(
    server: FileServer, path: Path, free: int, fits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(path.parent)._replace(free=free)
    monkeypatch.setattr(download_module.shutil, "disk_usage", lambda _: usage)
    if fits:
        assert get(server, path, copies=2) == BODY
    else:
        assert failure(server, path, copies=2).message.endswith(
            f"it needs 0.5 MB in {path.parent}, where 0.5 MB are free; make room there"
        )
        assert list(path.parent.iterdir()) == []


def test_a_part_that_goes_makes_room(server: FileServer, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken_off(server, path)
    server.serves(OTHER)
    usage = shutil.disk_usage(path.parent)._replace(free=len(OTHER) - HALF)
    monkeypatch.setattr(download_module.shutil, "disk_usage", lambda _: usage)

    assert get(server, path) == OTHER


def test_a_file_that_is_compressed_on_the_way_is_refused(server: FileServer, path: Path) -> None:
    server.serves(BODY, headers={"Content-Encoding": "gzip"})

    assert "compresses it (gzip)" in failure(server, path).why


def test_redirects_are_followed_but_not_for_ever(server: FileServer, path: Path) -> None:
    away = {"status": 302, "headers": {"Location": "/elsewhere.tar"}}
    server.first(**away)
    assert get(server, path) == BODY
    assert [request.path for request in server.requests] == ["/file.tar", "/elsewhere.tar"]

    server.serves(b"", **away)
    Partial(path).discard()
    assert "it leads from address to address, more than 5 times" in failure(server, path).why
    assert len(server.requests) == 2 + 6


def test_every_address_that_a_redirect_leads_to_is_checked(
    server: FileServer, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = []
    monkeypatch.setattr(http_answers, "check_security", lambda *urls: checked.append(urls))
    server.first(status=302, headers={"Location": "/elsewhere.tar"})
    server.first(status=307, headers={"Location": "again.tar"})

    get(server, path)

    start = f"{server.url}/file.tar"
    assert checked == [(start, f"{server.url}/elsewhere.tar"), (start, f"{server.url}/again.tar")]


def test_an_address_that_isnt_encrypted_is_not_asked(
    server: FileServer, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_answers, "check_security", partial(refuse_everything))
    server.first(status=302, headers={"Location": "/elsewhere.tar"})
    assert "isn't encrypted" in failure(server, path).why
    assert [request.path for request in server.requests] == ["/file.tar"]


@pytest.mark.timeout(60)
def test_what_comes_with_a_redirect_isnt_waited_for(server: FileServer, path: Path) -> None:
    """It may be endless."""
    server.first(status=302, headers={"Location": "/elsewhere.tar"}, drip_after=0)
    assert get(server, path) == BODY


@pytest.mark.parametrize(("host", "kept"), [("127.0.0.1", True), ("localhost", False)])
def test_a_password_goes_on_to_the_same_server_only(server: FileServer, path: Path, host: str, kept: bool) -> None:
    elsewhere = server.url.replace("127.0.0.1", host)
    server.first(status=301, headers={"Location": f"{elsewhere}/real.tar"})
    download(f"{server.url.replace('//', '//user:pass@')}/file.tar", path, max_bytes=2**30, patience=QUICK)
    first, second = (request.authorization for request in server.requests)
    assert first is not None
    assert second == (first if kept else None)


def test_an_address_that_is_none_is_refused(server: FileServer, path: Path) -> None:
    server.first(status=302, headers={"Location": "http://[bad/"})
    assert "leads to an address that is none" in failure(server, path).why


def refuse_everything(*_: str) -> None:
    raise Refused("it leads to an address that isn't encrypted")


def test_encryption_isnt_given_up_on_the_way() -> None:
    http_answers.check_security("https://a/", "https://b/")
    http_answers.check_security("http://a/", "http://b/")
    with pytest.raises(Refused, match="isn't encrypted"):
        http_answers.check_security("https://a/", "http://b/")


def test_a_certificate_that_isnt_trusted_is_named() -> None:
    sort_out = partial(http_answers.sorted_out, url="https://a/", timeouts_s=(1, 1))
    untrusted = requests.exceptions.SSLError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate")

    assert str(sort_out(untrusted)) == "the server's certificate isn't trusted here"
    assert isinstance(sort_out(untrusted), Refused)
    assert isinstance(sort_out(requests.exceptions.SSLError("EOF")), Passing)


def test_the_note_says_what_the_part_is_of(server: FileServer, path: Path) -> None:
    broken_off(server, path)

    note = json.loads(Partial(path).note_path.read_text())

    assert note == {
        "url": f"{server.url}/file.tar",
        "etag": server.answer.tag,
        "modified": LONG_AGO,
        "total": len(BODY),
    }
