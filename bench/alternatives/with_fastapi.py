"""FastAPI and uvicorn, the work in a pool of threads: python -m bench.alternatives.with_fastapi NAME NETWORK PORT.

A thread for each core, with a session of its own; uvicorn runs on uvloop and httptools. Bytes come in and go out.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request, Response

from bench.alternatives.pipeline import Pipeline
from bench.strategies import cores


def application(name: str, network: Path) -> FastAPI:
    """One endpoint."""
    own = threading.local()

    def prepare() -> None:
        own.pipeline = Pipeline(name, network)

    def classify(encoded: bytes) -> bytes:
        answer: bytes = own.pipeline(encoded).tobytes()
        return answer

    pool = ThreadPoolExecutor(cores(), initializer=prepare)
    app = FastAPI()

    @app.post("/predict")
    async def predict(request: Request) -> Response:
        encoded = await request.body()
        answer = await asyncio.get_running_loop().run_in_executor(pool, classify, encoded)
        return Response(answer, media_type="application/octet-stream")

    return app


def main() -> None:
    """Serve until it is ended."""
    name, network, port, *_ = sys.argv[1:]
    uvicorn.run(
        application(name, Path(network)),
        host="127.0.0.1",
        port=int(port),
        log_level="warning",
        access_log=False,
        loop="uvloop",
        http="httptools",
    )


if __name__ == "__main__":
    main()
