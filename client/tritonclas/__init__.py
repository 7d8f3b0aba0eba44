"""PaddleClas's image classifiers on NVIDIA Triton, called from Python.

    from tritonclas import Classifier

    with Classifier("localhost:8001", "EfficientNetB0") as classifier:
        print(classifier.classify("cat.jpg").top.name)

Names are imported when they are first used: the server's preprocessing needs this package without gRPC.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tritonclas._security import Tls
    from tritonclas.async_classifier import AsyncClassifier
    from tritonclas.async_server import AsyncModelServer
    from tritonclas.classifier import Classifier
    from tritonclas.errors import (
        AccessDenied,
        DeadlineExceeded,
        ImageRejected,
        InvalidRequest,
        ModelNotFound,
        ModelNotReady,
        ServerError,
        ServerOverloaded,
        ServerUnavailable,
        TritonClasError,
    )
    from tritonclas.images import ImageSource
    from tritonclas.results import Classification, Counters, Label, ModelStatistics, ModelStatus, Timing
    from tritonclas.server import ModelServer

__all__ = [
    "AccessDenied",
    "AsyncClassifier",
    "AsyncModelServer",
    "Classification",
    "Classifier",
    "Counters",
    "DeadlineExceeded",
    "ImageRejected",
    "ImageSource",
    "InvalidRequest",
    "Label",
    "ModelNotFound",
    "ModelNotReady",
    "ModelServer",
    "ModelStatistics",
    "ModelStatus",
    "ServerError",
    "ServerOverloaded",
    "ServerUnavailable",
    "Timing",
    "Tls",
    "TritonClasError",
]

_HOME = {
    "AsyncClassifier": "async_classifier",
    "AsyncModelServer": "async_server",
    "Classifier": "classifier",
    "ImageSource": "images",
    "ModelServer": "server",
    "Tls": "_security",
    **dict.fromkeys(("Classification", "Counters", "Label", "ModelStatistics", "ModelStatus", "Timing"), "results"),
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'tritonclas' has no attribute {name!r}")
    value = getattr(import_module(f"tritonclas.{_HOME.get(name, 'errors')}"), name)
    globals()[name] = value
    return value
