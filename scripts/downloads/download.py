"""Downloads one file over HTTP: retried, resumed by the next attempt or the next run, bounded in size and in time."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urljoin

import requests
import urllib3
from requests.utils import get_auth_from_url
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_exponential, wait_random

from scripts.console import progress_console
from scripts.downloads import http_answers
from scripts.downloads.http_answers import Passing, Refused
from scripts.downloads.partial import Note, Partial
from scripts.downloads.patience import Pace, Patience
from scripts.errors import ScriptError

_PIECE_BYTES = 1 << 20
_REDIRECTS = 5


class _Session(requests.Session):
    """Leaves redirects to us: requests reads all that comes with one, however much, even if it isn't to follow it."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        return None


class DownloadError(ScriptError):
    """A file couldn't be had: `why`, and `remedy`, what could be done about it, which may be empty."""

    def __init__(self, url: str, why: str, remedy: str = "") -> None:
        super().__init__(f"couldn't download {url}: {why}" + (f"; {remedy}" if remedy else ""))
        self.url, self.why, self.remedy = url, why, remedy


class OtherSize(DownloadError):
    """The server has a file of another size than the one asked for."""


def download(
    url: str,
    path: Path,
    *,
    max_bytes: int,
    exact_bytes: int | None = None,
    copies: int = 1,
    patience: Patience | None = None,
) -> None:
    """Put the file at `url` to `path`, all of it; what an earlier call left there of the same file is gone on with.

    It may have `max_bytes`, or must have `exact_bytes`; the disk must have room for `copies` of it. The caller holds
    a lock on `path`, and ends with `Partial(path).discard()`. DownloadError if it can't be had: then `path` holds
    what has come, if that is good for another call. OSError if `path` can't be written.
    """
    with _Session() as session, _progress() as progress:
        transfer = _Transfer(url, Partial(path), max_bytes, exact_bytes, copies, patience or Patience(), session)
        task = progress.add_task(path.name, total=None)
        transfer.shown = lambda done, total: progress.update(task, completed=done, total=total)
        transfer.run()


@dataclass
class _Transfer:
    """One download and what it has learned of the server so far."""

    url: str
    partial: Partial
    max_bytes: int
    exact_bytes: int | None
    copies: int
    patience: Patience
    session: requests.Session
    shown: Callable[[int, int | None], object] = lambda done, total: None
    answered: bool = False

    @property
    def name(self) -> str:
        return http_answers.without_credentials(self.url)

    def run(self) -> None:
        """Attempts until all is there; DownloadError if they are used up, or can't help."""
        retrying = Retrying(
            retry=retry_if_exception_type(Passing),
            stop=self._stop,
            wait=self._wait_s,
            before_sleep=self._say,
            reraise=True,
        )
        try:
            retrying(self._attempt)
        except Passing as passing:
            tried = retrying.statistics["attempt_number"]
            why = f"{passing} ({tried} attempts)" if tried > 1 else str(passing)
            raise DownloadError(self.name, why, self._remedy()) from passing
        except Refused as refused:
            raise DownloadError(self.name, str(refused)) from refused

    def _remedy(self) -> str:
        kept = self.partial.size
        return f"run it again to go on after the {kept / 1e6:.1f} MB that came" if kept and self._resumable() else ""

    def _limit(self) -> int:
        return self.patience.attempts if self.answered else self.patience.attempts_unanswered

    def _stop(self, state: RetryCallState) -> bool:
        return state.attempt_number >= self._limit() or _asked_s(state) > self.patience.longest_wait_s

    def _wait_s(self, state: RetryCallState) -> float:
        first, longest = self.patience.first_wait_s, self.patience.longest_wait_s
        backoff = wait_exponential(first, longest) + wait_random(0, first)
        return max(_asked_s(state), backoff(state))

    def _say(self, state: RetryCallState) -> None:
        assert state.outcome
        again = f"attempt {state.attempt_number + 1} of {self._limit()} in {state.upcoming_sleep:.1f} s"
        progress_console.print(f"{self.partial.path.name}: {state.outcome.exception()}; {again}")

    def _attempt(self) -> None:
        """One request, unless everything is there already. Passing if another one may help."""
        note = self._resumable()
        if note and self.partial.is_whole():
            return
        with self._ask(note) as response:
            self.answered = True
            if note and response.status_code == 416:
                self._start_anew("the server can't go on where it stopped")
            http_answers.check_status(response, resuming=note is not None)
            if note and response.status_code == 206:
                if not http_answers.continues(response, note, self.partial.size):
                    self._start_anew("the file on the server has changed")
            else:
                self._begin(response)
            self._receive(response)

    def _resumable(self) -> Note | None:
        """The note of the part that is there, if it is of this file and the rest can be asked for."""
        note = self.partial.note
        if note is None or note.url != self.name or note.total is None:
            return None
        if self.exact_bytes not in (None, note.total) or not 0 < self.partial.size <= note.total:
            return None
        return note if note.etag or note.modified or self.partial.is_whole() else None

    def _start_anew(self, why: str) -> None:
        self.partial.discard()
        raise Passing(why)

    def _ask(self, note: Note | None) -> requests.Response:
        headers = {"Accept-Encoding": "identity"}
        if note:
            # If-Range: the rest if it is still the same file, all of it otherwise (RFC 9110, 13.1.5).
            headers |= {"Range": f"bytes={self.partial.size}-", "If-Range": note.etag or note.modified or ""}
        url = self.url
        for _ in range(_REDIRECTS + 1):
            response = self._get(url, headers)
            target = requests.Session.get_redirect_target(self.session, response)
            if target is None:
                return response
            response.close()  # unread: whatever comes with it has no bound
            try:
                url = urljoin(url, target)
                http_answers.check_security(self.url, url)
            except ValueError as error:
                raise Refused("it leads to an address that is none") from error
        raise Refused(f"it leads from address to address, more than {_REDIRECTS} times")

    def _get(self, url: str, headers: Mapping[str, str]) -> requests.Response:
        timeouts = (self.patience.connect_s, self.patience.stall_s)
        try:
            return self.session.get(
                url, headers=headers, stream=True, timeout=timeouts, allow_redirects=False, auth=self._login(url)
            )
        except requests.RequestException as error:
            raise http_answers.sorted_out(error, url, timeouts) from error

    def _login(self, url: str) -> tuple[str, str] | None:
        """User and password of the first address, for others of the same server, as requests itself has it."""
        try:
            known = get_auth_from_url(self.url)
            strange = self.session.should_strip_auth(self.url, url)  # type: ignore[no-untyped-call]
        except ValueError:  # an address that is none; requests will say so
            return None
        return known if any(known) and not strange else None

    def _begin(self, response: requests.Response) -> None:
        note = http_answers.note_of(response, self.name)
        if note.total is None:
            note = replace(note, total=self.exact_bytes)
        if note.total is None and not http_answers.is_chunked(response):
            raise Refused("the server doesn't say how large it is, and so not when it is whole")
        if note.total is not None:
            self._check_size(note.total)
            self._check_room(note.total)
        self.partial.begin(note)

    def _check_size(self, announced: int) -> None:
        if self.exact_bytes not in (None, announced):
            self._refuse_size(f"it has {announced} bytes")
        if announced > self.max_bytes:
            raise Refused(f"it is larger than {self.max_bytes >> 30} GiB")

    def _refuse_size(self, why: str) -> None:
        self.partial.discard()
        raise OtherSize(self.name, why)

    def _check_room(self, total: int) -> None:
        folder = self.partial.path.parent
        needed, free = total * self.copies, shutil.disk_usage(folder).free + self.partial.size
        if free < needed:
            sizes = f"it needs {needed / 1e6:.1f} MB in {folder}, where {free / 1e6:.1f} MB are free"
            raise DownloadError(self.name, sizes, "make room there")

    def _receive(self, response: requests.Response) -> None:
        note = self.partial.note
        assert note, "written before the first byte"
        bound = self.max_bytes if note.total is None else note.total
        pace = Pace(self.patience)
        with self.partial.path.open("ab") as file:
            while piece := self._piece(response):
                if file.tell() + len(piece) > bound:
                    self._too_much(note.total)
                file.write(piece)
                file.flush()  # a run that is killed has lost nothing
                self.shown(file.tell(), note.total)
                pace.add(len(piece))
        if note.total is not None and self.partial.size < note.total:
            raise Passing(f"it ended after {self.partial.size} of {note.total} bytes")
        self.partial.end()

    def _too_much(self, total: int | None) -> None:
        if self.exact_bytes is not None:
            self._refuse_size(f"it has more than {self.exact_bytes} bytes")
        self.partial.discard()
        size = f"{self.max_bytes >> 30} GiB" if total is None else f"the {total} bytes that the server announced"
        raise Refused(f"it is larger than {size}")

    def _piece(self, response: requests.Response) -> bytes:
        """What has come, b"" at the end. Not iter_content, which waits for a full piece however slowly it comes."""
        try:
            return bytes(response.raw.read1(_PIECE_BYTES, decode_content=False) or b"")
        except urllib3.exceptions.ReadTimeoutError as error:
            raise Passing(f"nothing came for {self.patience.stall_s:g} s") from error
        except urllib3.exceptions.HTTPError as error:
            raise Passing(f"the connection broke after {self.partial.size} bytes") from error


def _asked_s(state: RetryCallState) -> float:
    """Seconds that the server asks to be left alone for."""
    error = state.outcome.exception() if state.outcome else None
    return error.asked_s if isinstance(error, Passing) else 0.0


def _progress() -> Progress:
    """A progress bar on stderr, shown on a terminal only."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=progress_console, disable=not progress_console.is_terminal)
