"""Requests whose tensors lie in system shared memory, for a client on the server's own machine.

The region is registered with the server once. Whatever stands against it, that the server is elsewhere, that it runs
as another user, that it doesn't offer it, is logged once, and the tensors go over the connection.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from tritonclas import _messages, _shared_memory
from tritonclas._exchange import Call, Exchange, Pause, Prepare
from tritonclas._faults import region_is_known, region_is_unknown
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
        self._registered = False
        self._refused = False

    def ask(self, call: Call, tensor: Tensor, request: MakeRequest) -> Exchange[Any]:
        """The server's answer to a request, whose tensor goes through shared memory if that can be."""
        for _ in range(2):  # a server that was restarted doesn't know the region any more
            block = yield from self._placed(call, tensor)
            if block is None:
                break
            try:
                return (yield from self._ask(call, block, request))
            except InvalidRequest as error:
                if not region_is_unknown(str(error)):
                    raise
                self._registered = False
        return (yield from call.rpc_in_time("ModelInfer", lambda left_s: request(left_s, None)))

    def release(self, call: Call) -> Exchange[None]:
        """Unregister the region and remove it; afterwards, tensors go over the connection."""
        region, self._region, self._refused = self._region, None, True
        if region is None:
            return
        region.close()
        while self._registered:
            try:
                yield from call.rpc("SystemSharedMemoryUnregister", _messages.unregister(region.name))
                self._registered = False
            except (InvalidRequest, ServerError):  # in use by what the server is still computing
                yield Pause(_POLL_S)

    def _ask(self, call: Call, block: Block, request: MakeRequest) -> Exchange[Any]:
        region = self._region
        assert region
        answered = False
        try:
            answer = yield from call.rpc_in_time(
                "ModelInfer", lambda left_s: request(left_s, (region.name, block.offset))
            )
            answered = True
            return answer
        except _DONE_WITH:
            answered = True
            raise
        finally:
            region.give_back(block, answered=answered)

    def _placed(self, call: Call, tensor: Tensor) -> Exchange[Block | None]:
        """The block into which the tensor was written; None if it can't be."""
        if not self._registered and not self._refused:
            yield from self._register(call)
        region = self._region
        if region is None or not self._registered or (block := region.take(tensor.size)) is None:
            return None
        try:
            write = partial(region.write, block, tensor.parts)
            yield Prepare(write, quick=tensor.size <= _QUICKLY_COPIED_BYTES)
        except BaseException:
            region.give_back(block, answered=True)
            raise
        return block

    def _register(self, call: Call) -> Exchange[None]:
        try:
            region = self._region = self._region or Region()
            yield from call.rpc("SystemSharedMemoryRegister", _messages.register(region.name, region.limit))
        except (OSError, InvalidRequest, ServerError, AccessDenied) as error:
            if not region_is_known(str(error)):  # which another thread registered meanwhile
                return self._give_up(call, error)
        self._registered = True
        yield from _clean_up(call)

    def _give_up(self, call: Call, error: Exception) -> None:
        region, self._region, self._refused = self._region, None, True
        if region:
            region.close()
        _LOG.warning("%s shares no memory with this process; images go over the connection (%s)", call.endpoint, error)


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
