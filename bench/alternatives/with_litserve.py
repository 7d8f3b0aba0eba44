"""LitServe: python -m bench.alternatives.with_litserve NAME NETWORK PORT.

A worker for each core, as its documentation advises for CPUs; one process for HTTP and the faster of its two queues,
which of the settings tried are the best here. Bytes come in and go out.
"""

# LitServe reads these annotations as they are: they must not be strings.
import sys
from pathlib import Path
from typing import Annotated, Any

import litserve
from fastapi import Body, Response

from bench.alternatives.pipeline import Pipeline
from bench.strategies import cores


class Classify(litserve.LitAPI):  # type: ignore[misc]
    """Its worker's part."""

    def __init__(self, name: str, network: Path) -> None:
        super().__init__()
        self._arguments = (name, network)

    def setup(self, device: str) -> None:
        self._pipeline = Pipeline(*self._arguments)

    def decode_request(self, request: Annotated[bytes, Body()]) -> bytes:
        return request

    def predict(self, encoded: bytes) -> Any:
        return self._pipeline(encoded)

    def encode_response(self, row: Any) -> Response:
        return Response(row.tobytes(), media_type="application/octet-stream")


def main() -> None:
    """Serve until it is ended."""
    name, network, port, *_ = sys.argv[1:]
    server = litserve.LitServer(
        Classify(name, Path(network)), accelerator="cpu", workers_per_device=cores(), fast_queue=True
    )
    server.run(host="127.0.0.1", port=int(port), log_level="warning", generate_client_file=False, num_api_servers=1)


if __name__ == "__main__":
    main()
