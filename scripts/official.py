"""Downloads PaddleClas's published inference archives into the user's cache."""

from __future__ import annotations

import contextlib
import os
import tempfile
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

import requests
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from scripts.archive import Archive
from scripts.console import progress_console
from scripts.errors import ArchiveError
from scripts.unpack import MAX_BYTES, unpack, unwritable
from tritonclas import zoo

#: Environment variable with the URL of a mirror's folder of *_infer.tar files.
MIRROR = "TRITONCLAS_ARCHIVES"

#: Seconds: to connect, and between two pieces of the answer.
_TIMEOUTS_S = (10.0, 60.0)
_PIECE_BYTES = 1 << 20
_INSTEAD = "give --weights synthetic, or --weights PATH with the archive"


def open_official(model: zoo.Model) -> Archive:
    """The row's archive as PaddleClas publishes it, downloaded unless it is in the cache.

    ArchiveError if PaddleClas has none, the download fails, or what comes isn't an archive.
    """
    url = archive_url(model)
    folder = cache_folder() / f"{model.name}_infer"
    with contextlib.suppress(ArchiveError):
        return Archive.open(folder, "official", url)
    download_and_unpack(url, folder)
    return Archive.open(folder, "official", url)


def archive_url(model: zoo.Model) -> str:
    """The archive's URL, on the mirror that the environment names if it does."""
    if model.archive_url is None:
        raise ArchiveError(f"PaddleClas publishes no archive of {model.name}; give --weights sample")
    mirror = os.environ.get(MIRROR) or zoo.OFFICIAL_ARCHIVES
    return mirror.rstrip("/") + model.archive_url.removeprefix(zoo.OFFICIAL_ARCHIVES)


def cache_folder() -> Path:
    """Where archives are kept (XDG Base Directory Specification)."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "tritonclas" / "archives"


def download_and_unpack(url: str, folder: Path) -> None:
    """Puts the archive at `url` into `folder`, all or nothing."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".download-") as temporary:
            tar = Path(temporary) / "archive.tar"
            with tar.open("wb") as file:
                download(url, file)
            unpack(tar, folder, url)
    except requests.RequestException as error:
        raise failed(url, reason(error)) from error
    except OSError as error:
        raise unwritable(folder, error) from error


def download(url: str, file: BinaryIO) -> None:
    """Writes what `url` answers to `file`; RequestException or ArchiveError if that isn't all of it, or too much."""
    headers = {"Accept-Encoding": "identity"}
    with requests.get(url, stream=True, timeout=_TIMEOUTS_S, headers=headers) as response:
        response.raise_for_status()
        announced = _announced_bytes(response)
        received = 0
        with _progress() as progress:
            task = progress.add_task(url.rsplit("/", 1)[-1], total=announced or None)
            for piece in response.iter_content(_PIECE_BYTES):
                received += len(piece)
                if max(received, announced) > MAX_BYTES:
                    raise failed(url, f"it is larger than {MAX_BYTES >> 30} GiB")
                file.write(piece)
                progress.advance(task, len(piece))
    if received < announced:
        raise failed(url, f"it ended after {received} of {announced} bytes")


def _announced_bytes(response: requests.Response) -> int:
    """The length that the server announces; 0 if it announces none."""
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else 0


def failed(url: str, why: str) -> ArchiveError:
    """What the user is told when the archive can't be had."""
    return ArchiveError(f"couldn't download {url}: {why}; {_INSTEAD}")


def reason(error: requests.RequestException) -> str:
    """A few words on why a request failed."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answers {_status(error.response.status_code)}"
    if isinstance(error, requests.Timeout):
        return f"no answer within {_TIMEOUTS_S[0]:.0f} s to connect or {_TIMEOUTS_S[1]:.0f} s to go on"
    if isinstance(error, requests.exceptions.SSLError):
        return "the server's certificate isn't trusted here"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke before the end"
    if isinstance(error, requests.ConnectionError):
        return "the server can't be reached"
    return " ".join(str(error).split()) or type(error).__name__


def _status(code: int) -> str:
    try:
        return f"{code} {HTTPStatus(code).phrase}"
    except ValueError:
        return str(code)


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
