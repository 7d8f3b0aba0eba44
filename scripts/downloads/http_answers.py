"""What an HTTP server's answer, or the lack of one, means for a download."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import urlsplit, urlunsplit

import requests

from scripts.downloads.partial import Note

#: Statuses below 500 that pass: 408 Request Timeout, 425 Too Early, 429 Too Many Requests.
_PASSING = (408, 425, 429)


class Refused(Exception):
    """Asking again wouldn't help."""


class Passing(Exception):
    """Asking again may help, after the `asked_s` seconds that the server asks for."""

    def __init__(self, why: str, asked_s: float = 0.0) -> None:
        super().__init__(why)
        self.asked_s = asked_s


def without_credentials(url: str) -> str:
    """The URL as it may be shown and kept: without a user's name and password."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def check_status(response: requests.Response, *, resuming: bool) -> None:
    """Passing or Refused unless the answer holds the file, or the part of it that was asked for."""
    code = response.status_code
    if code == 200 or (resuming and code == 206):
        _check_encoding(response)
        return
    answers = f"the server answers {_status(code)}"
    if code < 500 and code not in _PASSING:
        raise Refused(answers)
    asked_s = retry_after_s(response)
    raise Passing(f"{answers}, and to wait {asked_s:.0f} s" if asked_s else answers, asked_s)


def _check_encoding(response: requests.Response) -> None:
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding != "identity":
        raise Refused(f"the server compresses it ({encoding}) although it was asked not to")


def check_security(asked: str, answered: str) -> None:
    """Refused if an encrypted address has led to one that isn't."""
    if urlsplit(asked).scheme == "https" and urlsplit(answered).scheme != "https":
        raise Refused("it leads to an address that isn't encrypted")


def retry_after_s(response: requests.Response) -> float:
    """Seconds that the server asks to be left alone for (RFC 9110, 10.2.3); 0 if it doesn't."""
    asked = response.headers.get("Retry-After", "")
    if re.fullmatch(r"[0-9]{1,9}", asked):
        return float(asked)
    until = _date(asked)
    return max((until - datetime.now(timezone.utc)).total_seconds(), 0.0) if until else 0.0


def note_of(response: requests.Response, url: str) -> Note:
    """Which file this is."""
    etag, modified = _validators(response)
    return Note(url, etag, modified, announced_bytes(response))


def announced_bytes(response: requests.Response) -> int | None:
    """The length that the server announces, if any."""
    length = response.headers.get("Content-Length", "")
    return int(length) if re.fullmatch(r"[0-9]{1,18}", length) and not is_chunked(response) else None


def is_chunked(response: requests.Response) -> bool:
    """Whether the file comes in chunks: then its end can be told from a broken connection without its length."""
    return "chunked" in response.headers.get("Transfer-Encoding", "").lower()


def continues(response: requests.Response, note: Note, size: int) -> bool:
    """Whether this partial answer begins after `size` bytes of the very file that was noted."""
    found = re.fullmatch(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18})", response.headers.get("Content-Range", ""))
    if found is None or (int(found[1]), int(found[2])) != (size, note.total):
        return False
    if note.etag:
        return response.headers.get("ETag") == note.etag
    # A server needn't repeat this one in a partial answer (RFC 9110, 15.3.7).
    return response.headers.get("Last-Modified", note.modified) == note.modified


def _validators(response: requests.Response) -> tuple[str | None, str | None]:
    """A strong entity tag, and a time of change that is safe to resume by.

    A tag is weak if it begins with W/. A time is weak if the file may change again within the same second
    (RFC 9110, 8.8.2.2).
    """
    etag = response.headers.get("ETag", "")
    modified = response.headers.get("Last-Modified", "")
    changed, now = _date(modified), _date(response.headers.get("Date", ""))
    settled = changed is not None and now is not None and now - changed >= timedelta(seconds=1)
    return etag if etag.startswith('"') else None, modified if settled else None


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=timezone.utc)


def sorted_out(error: requests.RequestException, url: str, timeouts_s: tuple[float, float]) -> Passing | Refused:
    """Why there was no answer, in a few words."""
    text = " ".join(str(error).replace(url, without_credentials(url)).split())
    if isinstance(error, requests.exceptions.SSLError) and "CERTIFICATE_VERIFY_FAILED" in text:
        return Refused("the server's certificate isn't trusted here")
    if isinstance(error, requests.ConnectTimeout):
        return Passing(f"the server can't be reached within {timeouts_s[0]:g} s")
    if isinstance(error, requests.Timeout):
        return Passing(f"no answer within {timeouts_s[1]:g} s")
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return Passing("the connection broke")
    if isinstance(error, requests.ConnectionError):
        return Passing("the server can't be reached")
    return Refused(text or type(error).__name__)


def _status(code: int) -> str:
    try:
        return f"{code} {HTTPStatus(code).phrase}"
    except ValueError:
        return str(code)
