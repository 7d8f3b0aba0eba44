"""Requests whose tensors lie in system shared memory, for a client on the server's own machine.

The region is registered with the server once. Whatever stands against it, that the server is elsewhere, that it runs
as another user, that it doesn't offer it, or that the region is full, is logged once, and the tensors go over the
connection.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, Final

from tritonclas import _messages, _shared_memory
from tritonclas._exchange import Call, Exchange, Pause, Prepare
from tritonclas._faults import region_is_known, region_is_unknown, was_cancelled
from tritonclas._messages import Tensor
from tritonclas._shared_memory import Block, Region
from tritonclas.errors import (
    AccessDenied,
    InvalidRequest,
    ServerError,
    ServerOverloaded,
)

_LOG = logging.getLogger("tritonclas")

#: Copying less doesn't hold up an event loop.
_QUICKLY_COPIED_BYTES: Final = 2**18

#: After these the server has done with a request's tensors, or never looked at them.
_DONE_WITH: Final = (InvalidRequest, ServerOverloaded)

_POLL_S: Final = 0.05

#: What makes a message: the seconds left for the request, and where its tensor lies, if not in itself.
MakeRequest = Callable[[float, "Placed | None"], Any]

Placed = tuple[str, int]


class SameMachine:
    """The shared memory of a client; threads may share it."""

    def __init__(self) -> None:
        self._region: Region | None = None
        self._registered: Region | None = None
        self._refused = self._was_full = False
        self._lock = threading.Lock()

    def ask(self, call: Call, tensor: Tensor, request: MakeRequest) -> Exchange[Any]:
        """The server's answer to a request, whose tensor goes through shared memory if that can be."""
        for _ in range(2):  # a server that was restarted doesn't know the region any more
            placed = yield from self._placed(call, tensor)
            if placed is None:
                break
            try:
                return (yield from self._ask(call, *placed, request))
            except InvalidRequest as error:
                if not region_is_unknown(str(error)):
                    raise
                self._registered = None
        return (yield from call.rpc_in_time("ModelInfer", lambda left_s: request(left_s, None)))

    def release(self, call: Call) -> Exchange[None]:
        """Unregister the region and remove it; afterwards, tensors go over the connection."""
        with self._lock:
            region, self._region, self._refused = self._region, None, True
            registered, self._registered = self._registered, None
        if region:
            region.close()
        while registered:
            try:
                yield from call.rpc("SystemSharedMemoryUnregister", _messages.unregister(registered.name))
                registered = None
            except (InvalidRequest, ServerError):  # in use by what the server is still computing
                yield Pause(_POLL_S)

    def _ask(self, call: Call, region: Region, block: Block, request: MakeRequest) -> Exchange[Any]:
        answered = False
        try:
            answer = yield from call.rpc_in_time(
                "ModelInfer", lambda left_s: request(left_s, (region.name, block.offset))
            )
            answered = True
            return answer
        except _DONE_WITH as error:
            answered = not was_cancelled(error)
            raise
        finally:
            region.give_back(block, answered=answered)

    def _placed(self, call: Call, tensor: Tensor) -> Exchange[tuple[Region, Block] | None]:
        """The block into which the tensor was written; None if it can't be."""
        if self._registered is None and not self._refused:
            yield from self._register(call)
        region = self._registered
        if region is None:
            return None
        if (block := region.take(tensor.size)) is None:
            self._tell_full(call)
            return None
        write = _Write(region, block, tensor)
        try:
            yield Prepare(write, quick=tensor.size <= _QUICKLY_COPIED_BYTES)
        except BaseException:  # another thread may be writing, or about to
            write.wanted = False
            region.give_back(block, answered=False)
            raise
        return region, block

    def _register(self, call: Call) -> Exchange[None]:
        with self._lock:
            try:
                region = self._region = self._region or Region()
            except OSError as error:
                return self._give_up(call, error)
        try:
            yield from call.rpc("SystemSharedMemoryRegister", _messages.register(region.name, region.limit))
        except (InvalidRequest, ServerError, AccessDenied) as error:
            if not region_is_known(str(error)):  # which another thread registered meanwhile
                with self._lock:
                    return self._give_up(call, error)
        with self._lock:
            if self._region is region:  # the client wasn't closed meanwhile
                self._registered = region
        yield from _clean_up(call)

    def _tell_full(self, call: Call) -> None:
        with self._lock:
            told, self._was_full = self._was_full or self._refused, True
        if not told:
            _LOG.warning("the memory shared with %s is full; some images go over the connection", call.endpoint)

    def _give_up(self, call: Call, error: Exception) -> None:
        """Once; the lock is held."""
        if not self._refused:
            what = "shares no memory with this process; images go over the connection"
            _LOG.warning("%s %s (%s)", call.endpoint, what, error)
        if self._region:
            self._region.close()
        self._region, self._refused = None, True


class _Write:
    """Work that puts a tensor into its block, unless nobody wants it any more."""

    def __init__(self, region: Region, block: Block, tensor: Tensor) -> None:
        self.wanted = True
        self._region, self._block, self._tensor = region, block, tensor

    def __call__(self) -> None:
        if self.wanted:
            self._region.write(self._block, self._tensor.parts)


def _clean_up(call: Call) -> Exchange[None]:
    """Remove regions of processes that have died, here and on the server."""
    for name in _shared_memory.left_behind():
        _LOG.info("the shared memory %s was left behind by a process that died, and was removed", name)
    try:
        known = _messages.regions((yield from call.rpc("SystemSharedMemoryStatus", _messages.all_regions())))
    except (AccessDenied, ServerError):
        return
    for name in known:
        if name.startswith(_shared_memory.PREFIX) and not _shared_memory.exists(name):
            try:
                yield from call.rpc("SystemSharedMemoryUnregister", _messages.unregister(name))
            except (InvalidRequest, ServerError, AccessDenied) as error:
                _LOG.info("%s keeps the shared memory %s of a client that has ended (%s)", call.endpoint, name, error)
