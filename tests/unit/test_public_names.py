"""The SDK's public names are these, and importing it stays light."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import tritonclas

NAMES = [
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

SERVER_SIDE = {"paddle", "paddle2onnx", "onnx", "onnxruntime", "pytriton", "locust", "gevent", "scripts"}
#: Of the command line or of extras: the SDK does without until it is asked for what needs them.
ON_DEMAND = {"click", "opentelemetry", "pandas", "pyarrow", "ray", "rich"}


def modules_after(statement: str) -> set[str]:
    """Names of the packages that a fresh interpreter has imported after a statement."""
    program = f"import sys; {statement}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    return set(
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    )


def test_public_names_are_pinned() -> None:
    assert tritonclas.__all__ == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_public_names_are_there(name: str) -> None:
    value = getattr(tritonclas, name)
    assert not inspect.isclass(value) or value.__doc__


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Classifer'"):
        tritonclas.Classifer  # noqa: B018


@pytest.mark.parametrize("name", ["AsyncClassifier", "AsyncModelServer", "Classifier", "ModelServer"])
def test_public_methods_are_documented(name: str) -> None:
    methods = inspect.getmembers(getattr(tritonclas, name), inspect.isfunction)
    assert all(method.__doc__ for called, method in methods if not called.startswith("_"))


def test_importing_the_client_imports_nothing_of_the_server() -> None:
    assert not modules_after("from tritonclas import *") & (SERVER_SIDE | ON_DEMAND)


def test_preprocessing_imports_no_grpc() -> None:
    assert not modules_after("import tritonclas.preprocess") & {"grpc", "tritonclient", *SERVER_SIDE}
