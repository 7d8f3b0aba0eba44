"""PaddleClas's image classifiers on NVIDIA Triton, called from Python.

from tritonclas import Classifier

with Classifier("localhost:8001", "EfficientNetB0") as classifier:
    print(classifier.classify("cat.jpg").top.name)
"""

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
from tritonclas.results import Classification, Label, ModelStatistics, ModelStatus
from tritonclas.server import ModelServer

__all__ = [
    "AccessDenied",
    "Classification",
    "Classifier",
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
    "TritonClasError",
]
