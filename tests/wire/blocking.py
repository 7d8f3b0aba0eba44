"""The async clients behind blocking methods, so that one test says what both kinds of client do."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncGenerator, Coroutine, Generator
from typing import Any, TypeVar

T = TypeVar("T")


class Blocking:
    """An async client with an event loop in a thread of its own; its methods may be called from any thread."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._client, name)
        if inspect.iscoroutinefunction(value):
            return lambda *arguments, **options: self._run(value(*arguments, **options))
        if name == "with_headers":
            return lambda headers: self._on_the_same_loop(value(headers))
        if name == "classify_many":
            return lambda *arguments, **options: self._iterate(value(*arguments, **options))
        return value

    def __repr__(self) -> str:
        return repr(self._client)

    def __enter__(self) -> Blocking:
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._client.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _on_the_same_loop(self, client: Any) -> Blocking:
        other = object.__new__(Blocking)
        vars(other).update(vars(self) | {"_client": client})
        return other

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _iterate(self, results: AsyncGenerator[T, None]) -> Generator[T, None, None]:
        end = object()

        async def following() -> Any:
            return await anext(results, end)

        try:
            while (result := self._run(following())) is not end:
                yield result
        finally:
            self._run(results.aclose())
