"""examples/service.py under way, as its user starts it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import httpx

from tests.triton.commands import read_until, started


@contextlib.contextmanager
def service_for(url: str, model: str, **settings: object) -> Iterator[httpx.Client]:
    """The service in front of that Triton; a client for it. AssertionError if it doesn't end in order."""
    environment = {"TRITON_URL": url, "TRITON_MODEL": model} | {name: str(value) for name, value in settings.items()}
    with started("examples/service.py", "--port", "0", env=os.environ | environment) as process:
        base_url = read_until(process, r"(http://127\.0\.0\.1:\d+)")[1]
        with httpx.Client(base_url=base_url, timeout=30, trust_env=False) as client:
            yield client
        process.terminate()
        assert "Application shutdown complete" in process.communicate(timeout=30)[0]


def upload(client: httpx.Client, *contents: bytes, timeout_s: float | None = None) -> httpx.Response:
    """POST these files, named 0, 1, 2, …"""
    files = [("images", (str(place), content)) for place, content in enumerate(contents)]
    headers = {} if timeout_s is None else {"X-Timeout-S": str(timeout_s)}
    return client.post("/classify", files=files, headers=headers)
