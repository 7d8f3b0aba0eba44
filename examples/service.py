"""An HTTP service in front of Triton: pictures are uploaded, their most probable classes come back as JSON.

    TRITON_URL=localhost:8001 TRITON_MODEL=EfficientNetLite0 python examples/service.py --port 8080
    curl --form images=@examples/cat.jpg --form images=@examples/rocket.jpg localhost:8080/classify

TRITON_TIMEOUT_S (10) is the total time of a request in seconds, which its header X-Timeout-S can shorten;
MAX_UPLOAD_BYTES (20 MiB) is the largest body. With several processes:

    uvicorn --factory examples.service:create_app --workers 4
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any, TypeVar

import uvicorn
from fastapi import APIRouter, FastAPI, Header, HTTPException, Query, Request, Response, UploadFile
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tritonclas import (
    AsyncClassifier,
    AsyncModelServer,
    Classification,
    DeadlineExceeded,
    ImageRejected,
    InvalidRequest,
    Label,
    ModelNotReady,
    ServerError,
    ServerOverloaded,
    ServerUnavailable,
    TritonClasError,
)

T = TypeVar("T")
N = TypeVar("N", int, float)

#: What the SDK's errors are in HTTP; the others mean that this service is set up or programmed wrongly.
STATUS: dict[type[TritonClasError], HTTPStatus] = {
    ImageRejected: HTTPStatus.UNPROCESSABLE_ENTITY,
    ServerOverloaded: HTTPStatus.SERVICE_UNAVAILABLE,
    ServerUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    ModelNotReady: HTTPStatus.SERVICE_UNAVAILABLE,
    DeadlineExceeded: HTTPStatus.GATEWAY_TIMEOUT,
    ServerError: HTTPStatus.BAD_GATEWAY,
}
RETRY_AFTER_S = 1
HEALTH_TIMEOUT_S = 2.0
CLIENT_CLOSED_REQUEST = 499  # nginx's status for the access log; nobody is there to read it

router = APIRouter()
logger = logging.getLogger("uvicorn.error")


@dataclass(frozen=True)
class Settings:
    """Where Triton is, and what a request may take."""

    url: str = "localhost:8001"
    model: str = "EfficientNetLite0"
    timeout_s: float = 10.0
    max_upload_bytes: int = 20 * 1024 * 1024

    @classmethod
    def from_environment(cls) -> Settings:
        """Out of environment variables; they end the program if they aren't what they must be."""
        settings = cls(
            url=os.environ.get("TRITON_URL", cls.url),
            model=os.environ.get("TRITON_MODEL", cls.model),
            timeout_s=_number("TRITON_TIMEOUT_S", float, cls.timeout_s),
            max_upload_bytes=_number("MAX_UPLOAD_BYTES", int, cls.max_upload_bytes),
        )
        try:
            AsyncClassifier(settings.url, settings.model)  # connects when it is used
        except InvalidRequest as error:
            raise SystemExit(f"Error: TRITON_URL: {error}") from None
        return settings


class Answer(BaseModel):
    """One picture's classes, the most probable first, or why it has none."""

    image: str
    labels: tuple[Label, ...] = ()
    error: str | None = None


class Answers(BaseModel):
    """One answer for each picture, in order."""

    results: list[Answer]


def create_app(settings: Settings | None = None) -> FastAPI:
    """The service; its connection to Triton is made when it starts and closed when it ends."""
    settings = settings or Settings.from_environment()
    app = FastAPI(title="tritonclas", lifespan=partial(connected, settings=settings))
    app.include_router(router)
    app.add_middleware(BoundedBody, limit=settings.max_upload_bytes)
    app.add_exception_handler(TritonClasError, failed)
    return app


@asynccontextmanager
async def connected(_app: FastAPI, settings: Settings) -> AsyncIterator[dict[str, Any]]:
    """What the requests share, as `request.state`."""
    async with (
        AsyncClassifier(settings.url, settings.model) as classifier,
        AsyncModelServer(settings.url, timeout_s=HEALTH_TIMEOUT_S) as server,
    ):
        yield {"settings": settings, "classifier": classifier, "server": server}


@router.post("/classify", responses={422: {"model": Answers, "description": "None of them is a picture."}})
async def classify(
    request: Request,
    response: Response,
    images: list[UploadFile],
    top_k: Annotated[int, Query(ge=1, le=100)] = 5,
    x_timeout_s: Annotated[float, Header(gt=0, description="Seconds for all of it.")] = float("inf"),
) -> Answers:
    """The most probable classes of each picture; a bad one has an error in their place."""
    timeout_s = min(x_timeout_s, request.state.settings.timeout_s)
    work = _results(request.state.classifier, images, top_k, timeout_s)
    results = await while_wanted(request, work, timeout_s)
    if all(isinstance(result, ImageRejected) for result in results):
        response.status_code = STATUS[ImageRejected]
    return Answers(results=[_answer(image, result) for image, result in zip(images, results, strict=True)])


@router.get("/healthz", responses={503: {"description": "Requests can't be answered now."}})
async def healthz(request: Request, response: Response) -> dict[str, bool]:
    """Whether the model on Triton answers requests."""
    ready = await request.state.server.ready(request.state.classifier.model)
    response.status_code = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
    return {"ready": ready}


async def failed(_request: Request, error: Exception) -> JSONResponse:
    """An error of the SDK as HTTP has it; the log names the endpoint, the answer doesn't."""
    status = next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), HTTPStatus.INTERNAL_SERVER_ERROR)
    logger.error("%s: %s", type(error).__name__, error)
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status == HTTPStatus.SERVICE_UNAVAILABLE else None
    return JSONResponse({"detail": status.phrase}, status, headers)


async def while_wanted(request: Request, work: Coroutine[Any, Any, T], timeout_s: float) -> T:
    """The work's result; it is cancelled, and with it its requests to Triton, when time is up or the client leaves."""
    result, gone = asyncio.ensure_future(work), asyncio.ensure_future(_disconnected(request.receive))
    try:
        await asyncio.wait({result, gone}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if result.done():
            return result.result()
        if gone.done():
            raise HTTPException(CLIENT_CLOSED_REQUEST, "the client has left")
        raise DeadlineExceeded(f"not done within {timeout_s:g} s")
    finally:
        for task in (result, gone):
            task.cancel()
        await asyncio.gather(result, gone, return_exceptions=True)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _results(
    classifier: AsyncClassifier, images: Sequence[UploadFile], top_k: int, timeout_s: float
) -> list[Classification | ImageRejected]:
    contents = (await image.read() for image in images)  # each when its batch is sent
    return [result async for result in classifier.classify_many(contents, top_k=top_k, timeout_s=timeout_s)]


def _answer(image: UploadFile, result: Classification | ImageRejected) -> Answer:
    name = image.filename or ""
    if isinstance(result, ImageRejected):
        return Answer(image=name, error=result.reason)
    return Answer(image=name, labels=result.labels)


class BoundedBody:
    """Refuses a body of more than `limit` bytes: unread if it says how large it is, else once it has become so.

    FastAPI before 0.165 ignores `max_body_size` silently.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self.app = app
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on a request whose body can't be read beyond the limit."""
        bounded = self._bounded(scope, receive) if scope["type"] == "http" else receive
        await self.app(scope, bounded, send)

    def _bounded(self, scope: Scope, receive: Receive) -> Receive:
        size = int(Headers(scope=scope).get("content-length", 0))
        read = 0

        async def bounded() -> Message:
            nonlocal read
            message: Message = {} if size > self.limit else await receive()
            read += len(message.get("body", b""))
            if max(size, read) > self.limit:
                # Closed, since what is still to come would be read only to be thrown away.
                raise HTTPException(413, f"at most {self.limit} bytes are taken", {"Connection": "close"})
            return message

        return bounded


def _number(name: str, kind: Callable[[str], N], default: N) -> N:
    text = os.environ.get(name)
    try:
        value = default if text is None else kind(text)
        if value > 0:
            return value
    except ValueError:
        pass
    raise SystemExit(f"Error: {name} is {text!r}; it must be a number above 0")


def main() -> None:
    """Serve until Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(description="Serve a classifier on Triton over HTTP.")
    parser.add_argument("--host", default="127.0.0.1", help="[%(default)s]")
    parser.add_argument("--port", type=int, default=8080, help="0 takes a free one [%(default)s]")
    arguments = parser.parse_args()
    uvicorn.run(create_app(), host=arguments.host, port=arguments.port)


if __name__ == "__main__":
    main()
