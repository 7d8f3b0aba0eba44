"""PyTriton: python -m bench.alternatives.with_pytriton NAME NETWORK PORT GRPC_PORT METRICS_PORT.

An instance of the function for each core. It is given what waits, up to eight pictures, which is faster than singly.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pytriton.decorators import batch
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

from bench.alternatives.pipeline import Pipeline
from bench.strategies import cores


def function(name: str, network: Path) -> Callable[..., Any]:
    """What PyTriton calls with a batch."""
    pipeline = Pipeline(name, network)

    @batch  # type: ignore[untyped-decorator]
    def classify(image: Any) -> dict[str, Any]:
        return {"probabilities": np.stack([pipeline(encoded) for encoded in image.ravel()])}

    return classify  # type: ignore[no-any-return]


def main() -> None:
    """Serve until it is ended."""
    name, network, port, grpc_port, metrics_port = sys.argv[1:]
    addresses = {f"{protocol}_address": "127.0.0.1" for protocol in ("http", "grpc", "metrics")}
    config = TritonConfig(http_port=int(port), grpc_port=int(grpc_port), metrics_port=int(metrics_port), **addresses)
    with Triton(config=config) as triton:
        triton.bind(
            model_name=name,
            infer_func=[function(name, Path(network)) for _ in range(cores())],
            inputs=[Tensor(name="image", dtype=bytes, shape=(1,))],
            outputs=[Tensor(name="probabilities", dtype=np.float32, shape=(1000,))],
            config=ModelConfig(max_batch_size=8),
        )
        triton.serve()


if __name__ == "__main__":
    main()
