"""config.pbtxt's keys for ONNX Runtime, as NVIDIA's native backend documents them, to session options."""

from __future__ import annotations

from typing import Any

import onnxruntime as ort

#: `optimization { graph { level } }`: -1 basic, 1 basic and extended, 2 none; all of them by default.
_GRAPH_LEVELS = {
    -1: ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    0: ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
    1: ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    2: ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
}
_EXECUTION_MODES = {"0": ort.ExecutionMode.ORT_SEQUENTIAL, "1": ort.ExecutionMode.ORT_PARALLEL}
_SWITCHES = {"0": False, "1": True}
_THREADS = ("intra_op_thread_count", "inter_op_thread_count")
_MEMORY = {"enable_mem_arena": "enable_cpu_mem_arena", "enable_mem_pattern": "enable_mem_pattern"}


def session_options(config: dict[str, Any], instance_kind: str) -> ort.SessionOptions:
    """Session options of a model configuration (as JSON); ValueError on what can't be honoured here."""
    _refuse_gpu(config, instance_kind)
    parameters = {key: value["string_value"] for key, value in config.get("parameters", {}).items()}
    if unknown := set(parameters) - {*_THREADS, *_MEMORY, "execution_mode"}:
        raise ValueError(f"parameters that this onnxruntime backend doesn't have: {', '.join(sorted(unknown))}")
    options = ort.SessionOptions()
    # Threads that spin while they wait take the cores from the preprocessing.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.graph_optimization_level = _graph_level(config)
    options.intra_op_num_threads = int(parameters.get("intra_op_thread_count", 0))
    options.inter_op_num_threads = int(parameters.get("inter_op_thread_count", 0))
    options.execution_mode = _chosen(parameters, "execution_mode", _EXECUTION_MODES)
    for key, option in _MEMORY.items():
        if key in parameters:
            setattr(options, option, _chosen(parameters, key, _SWITCHES))
    return options


def _refuse_gpu(config: dict[str, Any], instance_kind: str) -> None:
    if instance_kind != "CPU":
        raise ValueError(f"instance_group asks for {instance_kind}; this onnxruntime backend runs on the CPU only")
    accelerators = config["optimization"].get("execution_accelerators", {})
    if any(accelerators.values()):
        raise ValueError("optimization.execution_accelerators can't be honoured: this backend runs on the CPU only")


def _graph_level(config: dict[str, Any]) -> Any:
    level = int(config["optimization"].get("graph", {}).get("level", 0))
    if level not in _GRAPH_LEVELS:
        raise ValueError(f"optimization.graph.level is {level}; it must be -1, 1 or 2")
    return _GRAPH_LEVELS[level]


def _chosen(parameters: dict[str, str], key: str, choices: dict[str, Any]) -> Any:
    value = parameters.get(key, "0")
    if value not in choices:
        raise ValueError(f"parameter {key} is {value!r}; it must be {' or '.join(choices)}")
    return choices[value]
