"""config.pbtxt's keys become ONNX Runtime's options, and what can't be honoured is refused."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import onnxruntime as ort
import pytest

LEVELS = ort.GraphOptimizationLevel


@pytest.fixture(scope="session")
def session_options(root: Path) -> Any:
    """The function, out of the backend's folder, which isn't a package."""
    path = root / "backends" / "onnxruntime" / "session_options.py"
    spec = importlib.util.spec_from_file_location("session_options", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.session_options


def config(optimization: dict[str, Any] | None = None, **parameters: object) -> dict[str, Any]:
    """A model configuration as Triton gives it to a Python backend."""
    return {
        "optimization": optimization or {},
        "parameters": {key: {"string_value": str(value)} for key, value in parameters.items()},
    }


def test_threads_do_not_spin(session_options: Any) -> None:
    assert session_options(config(), "CPU").get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_defaults_are_onnxruntimes(session_options: Any) -> None:
    chosen, default = session_options(config(), "CPU"), ort.SessionOptions()
    for name in ("intra_op_num_threads", "inter_op_num_threads", "execution_mode", "graph_optimization_level"):
        assert getattr(chosen, name) == getattr(default, name)
    assert (chosen.enable_cpu_mem_arena, chosen.enable_mem_pattern) == (True, True)


def test_a_configuration_without_parameters(session_options: Any) -> None:
    session_options({"optimization": {}}, "CPU")


@pytest.mark.parametrize(
    ("key", "value", "option", "expected"),
    [
        ("intra_op_thread_count", 3, "intra_op_num_threads", 3),
        ("inter_op_thread_count", 2, "inter_op_num_threads", 2),
        ("execution_mode", 0, "execution_mode", ort.ExecutionMode.ORT_SEQUENTIAL),
        ("execution_mode", 1, "execution_mode", ort.ExecutionMode.ORT_PARALLEL),
        ("enable_mem_arena", 0, "enable_cpu_mem_arena", False),
        ("enable_mem_arena", 1, "enable_cpu_mem_arena", True),
        ("enable_mem_pattern", 0, "enable_mem_pattern", False),
        ("enable_mem_pattern", 1, "enable_mem_pattern", True),
    ],
)
def test_parameters(session_options: Any, key: str, value: int, option: str, expected: object) -> None:
    assert getattr(session_options(config(**{key: value}), "CPU"), option) == expected


@pytest.mark.parametrize(
    ("level", "expected"),
    [(-1, LEVELS.ORT_ENABLE_BASIC), (1, LEVELS.ORT_ENABLE_EXTENDED), (2, LEVELS.ORT_DISABLE_ALL)],
)
def test_graph_levels(session_options: Any, level: int, expected: object) -> None:
    options = session_options(config({"graph": {"level": level}}), "CPU")
    assert options.graph_optimization_level == expected


@pytest.mark.parametrize(
    ("model_config", "kind", "why"),
    [
        (config(), "GPU", "GPU; this onnxruntime backend runs on the CPU only"),
        (
            config({"execution_accelerators": {"gpu_execution_accelerator": [{"name": "tensorrt"}]}}),
            "CPU",
            "execution_accelerators can't be honoured",
        ),
        (config(intra_op_threads=1, zzz=1), "CPU", "doesn't have: intra_op_threads, zzz"),
        (config(execution_mode=2), "CPU", "execution_mode is '2'; it must be 0 or 1"),
        (config(enable_mem_arena="true"), "CPU", "enable_mem_arena is 'true'; it must be 0 or 1"),
        (config(intra_op_thread_count="two"), "CPU", "two"),
        (config({"graph": {"level": 7}}), "CPU", "level is 7"),
    ],
    ids=["GPU", "accelerator", "unknown", "mode", "switch", "threads", "level"],
)
def test_refused(session_options: Any, model_config: dict[str, Any], kind: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        session_options(model_config, kind)


def test_empty_accelerators_ask_for_nothing(session_options: Any) -> None:
    """Triton writes both lists into every configuration."""
    empty = {"gpu_execution_accelerator": [], "cpu_execution_accelerator": []}
    session_options(config({"execution_accelerators": empty}), "CPU")
