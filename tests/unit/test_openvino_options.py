"""config.pbtxt's keys become OpenVINO's properties, what can't be honoured is refused, and threads share a model."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

FAST = frozenset({"avx2", "avx512_bf16"})
SLOW = frozenset({"avx2", "avx512f"})
MODULES = ("bfloat16", "openvino_options", "openvino_compiled")
DEFAULTS = {"ENABLE_CPU_PINNING": False, "INFERENCE_PRECISION_HINT": "f32"}


@pytest.fixture(scope="module")
def backend(root: Path) -> Iterator[dict[str, Any]]:
    """The modules of the backend's folder, which isn't a package: Triton puts it on the path."""
    sys.path.insert(0, str(root / "backends" / "openvino"))
    try:
        yield {name: import_module(name) for name in MODULES}
    finally:
        sys.path.pop(0)
        for name in MODULES:
            sys.modules.pop(name, None)


@pytest.fixture
def properties(backend: dict[str, Any]) -> Any:
    return backend["openvino_options"].properties


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
def test_flags_of_a_cpu(backend: dict[str, Any], tmp_path: Path, flag: str, fast: bool) -> None:
    (tmp_path / "cpuinfo").write_text(CPUINFO.format(flag))
    flags = backend["bfloat16"].cpu_flags(tmp_path / "cpuinfo")
    assert flags == {"fpu", flag}
    assert (backend["bfloat16"].lacking(flags) is None) == fast


def test_another_kind_of_cpu_has_none_of_the_flags(backend: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nFeatures\t: fp asimd bf16\n")
    assert (
        backend["bfloat16"].cpu_flags(tmp_path / "cpuinfo") == backend["bfloat16"].cpu_flags(tmp_path / "no") == set()
    )


def write_model(path: Path, factor: float = 2.0) -> Path:
    """A model of any batch: the sum of a row, times the factor."""
    nodes = [
        helper.make_node("Cast", ["pixels"], ["x"], to=onnx.TensorProto.FLOAT),
        helper.make_node("MatMul", ["x", "weights"], ["sums"]),
    ]
    ends = (
        [helper.make_tensor_value_info("pixels", onnx.TensorProto.UINT8, ["N", 4])],
        [helper.make_tensor_value_info("sums", onnx.TensorProto.FLOAT, ["N", 1])],
    )
    weights = numpy_helper.from_array(np.full((4, 1), factor, np.float32), "weights")
    graph = helper.make_graph(nodes, "sums", *ends, [weights])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))
    return path


def rows(count: int) -> NDArray[np.uint8]:
    return np.arange(4 * count, dtype=np.uint8).reshape(count, 4)


@pytest.fixture
def two_streams(properties: Any) -> dict[str, Any]:
    return dict(properties(config(NUM_STREAMS=2), "CPU", SLOW))


def test_a_batch_of_any_size(backend: dict[str, Any], tmp_path: Path, two_streams: dict[str, Any]) -> None:
    model = backend["openvino_compiled"].compiled(write_model(tmp_path / "model.onnx"), two_streams)
    assert model.inputs == {"pixels": ("u8", [-1, 4])}
    assert model.outputs == {"sums": ("f32", [-1, 1])}
    for count in (1, 2, 5):
        (sums,) = model({"pixels": rows(count)}, ["sums"])
        np.testing.assert_array_equal(sums, 2 * rows(count).sum(axis=1, dtype=np.float32, keepdims=True))


def test_instances_share_a_model_until_the_last_lets_it_go(
    backend: dict[str, Any], tmp_path: Path, two_streams: dict[str, Any]
) -> None:
    compiled, path = backend["openvino_compiled"].compiled, write_model(tmp_path / "model.onnx")
    first, second = compiled(path, two_streams), compiled(path, dict(two_streams))
    assert first is second
    other = compiled(path, two_streams | {"NUM_STREAMS": 1})
    assert other is not first
    before = len(backend["openvino_compiled"]._compiled)
    del first, second, other
    gc.collect()
    assert len(backend["openvino_compiled"]._compiled) == before - 2


def test_a_file_in_the_others_place_is_another_model(
    backend: dict[str, Any], tmp_path: Path, two_streams: dict[str, Any]
) -> None:
    compiled, path = backend["openvino_compiled"].compiled, write_model(tmp_path / "model.onnx")
    old = compiled(path, two_streams)
    write_model(tmp_path / "new.onnx", 3.0).replace(path)
    new = compiled(path, two_streams)
    sums = [float(model({"pixels": rows(1)}, ["sums"])[0].item()) for model in (old, new)]
    assert sums == [12.0, 18.0]


def test_threads_do_not_get_each_others_answers(
    backend: dict[str, Any], tmp_path: Path, two_streams: dict[str, Any]
) -> None:
    model = backend["openvino_compiled"].compiled(write_model(tmp_path / "model.onnx"), two_streams)

    def wrong(number: int) -> int:
        pixels = np.full((1 + number % 3, 4), number, np.uint8)
        kept = [model({"pixels": pixels}, ["sums"])[0] for _ in range(50)]
        return sum(int((sums != 8 * number).any()) for sums in kept)

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(wrong, range(32))) == 0
