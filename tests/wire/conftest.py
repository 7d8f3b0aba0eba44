"""A scripted server and clients for it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.wire.blocking import Blocking
from tests.wire.scripted import MODEL, Service, serving
from tritonclas import AsyncClassifier, AsyncModelServer, Classifier, ModelServer


@pytest.fixture
def service() -> Service:
    """The script: tests change its answers and look at its requests."""
    return Service()


@pytest.fixture
def url(service: Service) -> Iterator[str]:
    """The server's endpoint."""
    with serving(service) as endpoint:
        yield endpoint


@pytest.fixture(params=[False, True], ids=["blocking", "asyncio"])
def asynchronous(request: pytest.FixtureRequest) -> bool:
    """Whether the clients are the async ones; tests don't see the difference."""
    return bool(request.param)


@pytest.fixture
def connect(asynchronous: bool) -> Iterator[Callable[..., Classifier]]:
    """Makes clients for the scripted model: connect(url, **options)."""
    with contextlib.ExitStack() as stack:

        def make(url: str, **options: Any) -> Any:
            client = (
                Blocking(AsyncClassifier(url, MODEL, **options)) if asynchronous else Classifier(url, MODEL, **options)
            )
            return stack.enter_context(client)

        yield make


@pytest.fixture
def connect_server(asynchronous: bool) -> Iterator[Callable[..., ModelServer]]:
    """Makes clients for the server."""
    with contextlib.ExitStack() as stack:

        def make(url: str, **options: Any) -> Any:
            client = Blocking(AsyncModelServer(url, **options)) if asynchronous else ModelServer(url, **options)
            return stack.enter_context(client)

        yield make


@pytest.fixture
def classifier(connect: Callable[..., Classifier], url: str) -> Classifier:
    """A client for the scripted model."""
    return connect(url, timeout_s=20)


@pytest.fixture
def control(connect_server: Callable[..., ModelServer], url: str) -> ModelServer:
    """A client for the server."""
    return connect_server(url, timeout_s=20)


@pytest.fixture
def nobody() -> str:
    """An endpoint where a server was and no longer is."""
    with serving(Service()) as endpoint:
        return endpoint
