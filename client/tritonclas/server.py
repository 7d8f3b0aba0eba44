"""The blocking client for the server itself: health, models, statistics."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from tritonclas import _core, _messages
from tritonclas._arguments import check_endpoint
from tritonclas._exchange import Call
from tritonclas._transport import GrpcTransport, Transport, carry_out
from tritonclas.classifier import DEFAULT_TIMEOUT_S
from tritonclas.results import ModelStatistics, ModelStatus

if TYPE_CHECKING:
    from typing_extensions import Self


class ModelServer:
    """One Triton server. `url` is its gRPC endpoint, HOST:PORT; `timeout_s` the total time of a call in seconds.

    All methods raise subclasses of TritonClasError.
    """

    def __init__(self, url: str, *, timeout_s: float = DEFAULT_TIMEOUT_S, transport: Transport | None = None) -> None:
        check_endpoint(url)
        self.url = url
        self.timeout_s = timeout_s
        self._transport = transport or GrpcTransport(url)

    def live(self) -> bool:
        """True if a server answers."""
        return carry_out(_core.server_is(self._call(), "ServerLive", _messages.server_live()), self._transport)

    def ready(self, model: str | None = None) -> bool:
        """True if the server, or this model on it, answers requests."""
        if model is None:
            question = _core.server_is(self._call(), "ServerReady", _messages.server_ready())
        else:
            question = _core.server_is(self._call(model), "ModelReady", _messages.model_ready(model))
        return carry_out(question, self._transport)

    def wait_ready(self, models: str | Sequence[str] = (), *, timeout_s: float | None = None) -> None:
        """Wait until the server and these models answer requests; DeadlineExceeded if that takes too long."""
        names = [models] if isinstance(models, str) else models
        carry_out(_core.wait_ready(self._call(timeout_s=timeout_s), names), self._transport)

    def version(self) -> str:
        """Triton's version, such as 2.51.0."""
        return carry_out(_core.server_version(self._call()), self._transport)

    def models(self) -> list[ModelStatus]:
        """All models in the server's repository."""
        return carry_out(_core.models(self._call()), self._transport)

    def load(self, model: str, *, timeout_s: float | None = None) -> None:
        """Load a model, of an ensemble also what it consists of (model control mode `explicit`)."""
        carry_out(_core.load(self._call(model, timeout_s)), self._transport)

    def unload(self, model: str, *, timeout_s: float | None = None) -> None:
        """Unload a model, of an ensemble also what it consists of (model control mode `explicit`)."""
        carry_out(_core.unload(self._call(model, timeout_s)), self._transport)

    def statistics(self, model: str | None = None) -> list[ModelStatistics]:
        """What this model, or every loaded one, has done since it was loaded."""
        return carry_out(_core.statistics(self._call(model)), self._transport)

    def close(self) -> None:
        """End the connection."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"ModelServer({self.url!r})"

    def _call(self, model: str | None = None, timeout_s: float | None = None) -> Call:
        return Call.within(self.timeout_s if timeout_s is None else timeout_s, self.url, model)
