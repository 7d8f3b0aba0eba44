"""Other ways to run a network: `--model-config-name=<name>` makes Triton read its `configs/<name>.pbtxt`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Precision = Literal["fp16", "fp32", "bf16"]

#: TensorRT takes any batch up to the largest, and is fastest at one: the largest that the published tables measure.
TYPICAL_BATCH = 8


@dataclass(frozen=True)
class Profile:
    """A way to run a network; `precision` is that of its arithmetic."""

    name: str
    precision: Precision


@dataclass(frozen=True)
class Plan(Profile):
    """A network compiled by TensorRT for one kind of GPU."""

    gpu: Literal["T4", "V100"]

    @property
    def plan(self) -> str:
        """File name of the TensorRT plan in a version folder."""
        return f"{self.name}.plan"


#: One for each column of the published latencies, and V100's second precision.
PLANS = (
    Plan("t4-fp16", "fp16", "T4"),
    Plan("t4-fp32", "fp32", "T4"),
    Plan("v100-fp32", "fp32", "V100"),
    Plan("v100-fp16", "fp16", "V100"),
)
#: ONNX Runtime on any GPU: its CUDA provider, and its TensorRT provider. Nothing is built beforehand.
CUDA = Profile("gpu", "fp32")
TENSORRT_PROVIDER = Profile("gpu-tensorrt-fp16", "fp16")
#: OpenVINO on a CPU that computes in bfloat16. Nothing is built beforehand.
OPENVINO = Profile("cpu-bf16", "bf16")

ON_GPU: tuple[Profile, ...] = (*PLANS, CUDA, TENSORRT_PROVIDER)
PROFILES: tuple[Profile, ...] = (*ON_GPU, OPENVINO)
