"""config.pbtxt's keys become OpenVINO's properties, and what can't be honoured is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

FAST = frozenset({"avx2", "avx512_bf16"})
SLOW = frozenset({"avx2", "avx512f"})
DEFAULTS = {"ENABLE_CPU_PINNING": False, "INFERENCE_PRECISION_HINT": "f32"}


@pytest.fixture
def properties(openvino_backend: dict[str, Any]) -> Any:
    return openvino_backend["openvino_options"].properties


def config(optimization: dict[str, Any] | None = None, **parameters: object) -> dict[str, Any]:
    """A model configuration as Triton gives it to a Python backend."""
    return {
        "optimization": optimization or {},
        "parameters": {key: {"string_value": str(value)} for key, value in parameters.items()},
    }


def test_float32_unless_asked_otherwise(properties: Any) -> None:
    assert properties(config(), "CPU", FAST) == DEFAULTS == properties({}, "CPU", SLOW)


@pytest.mark.parametrize("flags", [FAST, {"amx_bf16"}], ids=["AVX-512", "AMX"])
def test_bfloat16(properties: Any, flags: set[str]) -> None:
    assert properties(config(HINT_BF16="YES"), "CPU", flags)["INFERENCE_PRECISION_HINT"] == "bf16"


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("INFERENCE_NUM_THREADS", 3, {"INFERENCE_NUM_THREADS": 3}),
        ("COMPILATION_NUM_THREADS", 2, {"COMPILATION_NUM_THREADS": 2}),
        ("NUM_STREAMS", 4, {"NUM_STREAMS": 4}),
        ("NUM_STREAMS", "auto", {"NUM_STREAMS": "AUTO"}),
        ("NUM_STREAMS", "NUMA", {"NUM_STREAMS": "NUMA"}),
        ("PERFORMANCE_HINT", "throughput", {"PERFORMANCE_HINT": "THROUGHPUT"}),
        ("SKIP_OV_DYNAMIC_BATCHSIZE", "yes", {}),
        ("ENABLE_BATCH_PADDING", "NO", {}),
    ],
)
def test_parameters(properties: Any, key: str, value: object, expected: dict[str, object]) -> None:
    assert properties(config(**{key: value}), "CPU", SLOW) == DEFAULTS | expected


@pytest.mark.parametrize(
    ("model_config", "kind", "why"),
    [
        (config(), "GPU", "GPU; this openvino backend runs on the CPU only"),
        (
            config({"execution_accelerators": {"cpu_execution_accelerator": [{"name": "openvino"}]}}),
            "CPU",
            "execution_accelerators can't be honoured",
        ),
        (config(RESHAPE_IO_LAYERS="YES", zzz=1), "CPU", "doesn't have: RESHAPE_IO_LAYERS, zzz"),
        (config(HINT_BF16="NO"), "CPU", "HINT_BF16 is 'NO'; it must be YES"),
        (config(HINT_BF16="YES"), "CPU", "neither amx_bf16 nor avx512_bf16 in .*; serve the default configuration"),
        (config(NUM_STREAMS="-1"), "CPU", "NUM_STREAMS is '-1'; it must be a number"),
        (config(INFERENCE_NUM_THREADS="two"), "CPU", "INFERENCE_NUM_THREADS is 'TWO'"),
        (config(PERFORMANCE_HINT="fast"), "CPU", "it must be LATENCY or THROUGHPUT or CUMULATIVE_THROUGHPUT"),
        (config(ENABLE_BATCH_PADDING="1"), "CPU", "it must be YES or NO"),
    ],
    ids=["GPU", "accelerator", "unknown", "precision", "old CPU", "streams", "threads", "hint", "switch"],
)
def test_refused(properties: Any, model_config: dict[str, Any], kind: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        properties(model_config, kind, SLOW)


CPUINFO = "processor\t: 0\nflags\t\t: fpu {}\nbugs\t: none\n\nprocessor\t: 1\nflags\t\t: fpu amx_bf16\n"


@pytest.mark.parametrize(("flag", "fast"), [("avx512_bf16", True), ("amx_bf16", True), ("avx512f", False)])
def test_flags_of_a_cpu(openvino_backend: dict[str, Any], tmp_path: Path, flag: str, fast: bool) -> None:
    (tmp_path / "cpuinfo").write_text(CPUINFO.format(flag))
    flags = openvino_backend["bfloat16"].cpu_flags(tmp_path / "cpuinfo")
    assert flags == {"fpu", flag}
    assert (openvino_backend["bfloat16"].lacking(flags) is None) == fast


def test_another_kind_of_cpu_has_none_of_the_flags(openvino_backend: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nFeatures\t: fp asimd bf16\n")
    cpu_flags = openvino_backend["bfloat16"].cpu_flags
    assert cpu_flags(tmp_path / "cpuinfo") == cpu_flags(tmp_path / "no") == set()
