"""config.pbtxt's keys for OpenVINO, as NVIDIA's own backend documents them, to properties of a compiled model.

https://github.com/triton-inference-server/openvino_backend#parameters
"""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from bfloat16 import lacking

Properties = dict[str, Any]

_COUNTS = ("INFERENCE_NUM_THREADS", "COMPILATION_NUM_THREADS")
_HINTS = ("LATENCY", "THROUGHPUT", "CUMULATIVE_THROUGHPUT")
#: These are about batches that NVIDIA's backend can't take as they come. This one can, so either answer suits it.
_BATCHES = ("SKIP_OV_DYNAMIC_BATCHSIZE", "ENABLE_BATCH_PADDING")
_KNOWN = {*_COUNTS, *_BATCHES, "HINT_BF16", "NUM_STREAMS", "PERFORMANCE_HINT"}


def properties(config: dict[str, Any], instance_kind: str, cpu_flags: Set[str]) -> Properties:
    """OpenVINO's properties of a model configuration (as JSON); ValueError on what can't be honoured here.

    Upper and lower case are the same in values, as in NVIDIA's backend.
    """
    _refuse_others(config, instance_kind)
    parameters = {key: value["string_value"].upper() for key, value in config.get("parameters", {}).items()}
    if unknown := set(parameters) - _KNOWN:
        raise ValueError(f"parameters that this openvino backend doesn't have: {', '.join(sorted(unknown))}")
    for key in _BATCHES:
        _chosen(parameters, key, ("YES", "NO"))
    return {
        # Several instances would bind their threads to the same cores.
        "ENABLE_CPU_PINNING": False,
        "INFERENCE_PRECISION_HINT": _precision(parameters, cpu_flags),
        **{key: _count(parameters, key) for key in _COUNTS if key in parameters},
        **_streams(parameters),
        **{key: _chosen(parameters, key, _HINTS) for key in ("PERFORMANCE_HINT",) if key in parameters},
    }


def _refuse_others(config: dict[str, Any], instance_kind: str) -> None:
    if instance_kind != "CPU":
        raise ValueError(f"instance_group asks for {instance_kind}; this openvino backend runs on the CPU only")
    accelerators = config.get("optimization", {}).get("execution_accelerators", {})
    if any(accelerators.values()):
        raise ValueError("optimization.execution_accelerators can't be honoured: OpenVINO is what accelerates here")


def _precision(parameters: dict[str, str], cpu_flags: Set[str]) -> str:
    """float32 unless it is asked otherwise; OpenVINO itself would choose bfloat16 wherever the CPU has it."""
    if "HINT_BF16" not in parameters:
        return "f32"
    _chosen(parameters, "HINT_BF16", ("YES",))
    if lack := lacking(cpu_flags):
        raise ValueError(f"HINT_BF16 can't be honoured: {lack}; serve the default configuration")
    return "bf16"


def _streams(parameters: dict[str, str]) -> Properties:
    streams = parameters.get("NUM_STREAMS")
    if streams is None:
        return {}
    return {"NUM_STREAMS": streams if streams in ("AUTO", "NUMA") else _count(parameters, "NUM_STREAMS")}


def _count(parameters: dict[str, str], key: str) -> int:
    if not parameters[key].isdecimal():
        raise ValueError(f"parameter {key} is {parameters[key]!r}; it must be a number")
    return int(parameters[key])


def _chosen(parameters: dict[str, str], key: str, choices: tuple[str, ...]) -> str:
    value = parameters.get(key, choices[0])
    if value not in choices:
        raise ValueError(f"parameter {key} is {value!r}; it must be {' or '.join(choices)}")
    return value
