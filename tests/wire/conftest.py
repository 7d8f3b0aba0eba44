"""A scripted server and clients for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.wire.scripted import MODEL, Service, serving
from tritonclas import Classifier, ModelServer


@pytest.fixture
def service() -> Service:
    """The script: tests change its answers and look at its requests."""
    return Service()


@pytest.fixture
def url(service: Service) -> Iterator[str]:
    """The server's endpoint."""
    with serving(service) as endpoint:
        yield endpoint


@pytest.fixture
def classifier(url: str) -> Iterator[Classifier]:
    """A client for the scripted model."""
    with Classifier(url, MODEL, timeout_s=20) as client:
        yield client


@pytest.fixture
def control(url: str) -> Iterator[ModelServer]:
    """A client for the server."""
    with ModelServer(url, timeout_s=20) as client:
        yield client


@pytest.fixture
def nobody() -> str:
    """An endpoint where a server was and no longer is."""
    with serving(Service()) as endpoint:
        return endpoint
