"""The real embedded server, with real and synthetic weights that the project exports itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.embedded import EmbeddedServer
from scripts.pipeline import populate
from tritonclas import Classifier, zoo

REAL = "EfficientNetLite0"
SYNTHETIC = "EfficientNetB0_small"


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository of its own: EfficientNetLite0 with its real weights, and a synthetic model."""
    folder = tmp_path_factory.mktemp("models")
    populate(zoo.find(REAL), "sample", folder)
    populate(zoo.find(SYNTHETIC), "synthetic", folder)
    return folder


@pytest.fixture(scope="session")
def server(repository: Path) -> Iterator[EmbeddedServer]:
    """Triton with both models; tests leave them loaded."""
    with EmbeddedServer([REAL, SYNTHETIC], repository) as running:
        yield running


@pytest.fixture(scope="session")
def classifier(server: EmbeddedServer) -> Iterator[Classifier]:
    """Preprocessing on the server."""
    with Classifier(server.url, REAL) as client:
        yield client


@pytest.fixture(scope="session")
def cropping_classifier(server: EmbeddedServer) -> Iterator[Classifier]:
    """Preprocessing in the client."""
    with Classifier(server.url, REAL, preprocess="client") as client:
        yield client
