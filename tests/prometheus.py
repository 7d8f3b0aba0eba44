"""The real Prometheus, where it is installed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

MISSING = "no Prometheus to test with: apt-get install --no-install-recommends prometheus"


def tool(name: str) -> str:
    """Where `prometheus` or `promtool` is; without it the test is skipped, in CI it fails."""
    path = shutil.which(name)
    if path is None and os.environ.get("CI"):
        pytest.fail(MISSING)
    if path is None:
        pytest.skip(MISSING)
    return path


class Prometheus:
    """A running one, and what it says."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, query: str) -> list[tuple[dict[str, str], float]]:
        """Labels and value of each series that the query gives now; AssertionError if it can't be understood."""
        url = f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                found: Any = json.load(answer)["data"]["result"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{query}: {error.read().decode()}") from error
        return [(each["metric"], float(each["value"][1])) for each in found]

    def value(self, query: str) -> float:
        """The one value that the query gives."""
        ((_, value),) = self.ask(query)
        return value

    def firing(self) -> set[str]:
        """Names of the alerts that fire."""
        return {labels["alertname"] for labels, _ in self.ask('ALERTS{alertstate="firing"}')}


@contextlib.contextmanager
def running(config: Path, folder: Path) -> Iterator[Prometheus]:
    """Prometheus with this configuration on a free port, its data in `folder`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    command = [
        tool("prometheus"),
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
        "--log.level=warn",
    ]
    log = folder / "prometheus.log"
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            _wait_ready(f"http://{address}", process, log)
            yield Prometheus(f"http://{address}")
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/-/ready", timeout=5):
            return
        time.sleep(0.05)
    raise AssertionError(f"Prometheus didn't start: {log.read_text()}")
