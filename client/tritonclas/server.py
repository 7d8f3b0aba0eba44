"""The blocking client for the server itself: health, models, statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tritonclas import _core, _messages
from tritonclas._arguments import check_one
from tritonclas._client import DEFAULT_TIMEOUT_S, Client
from tritonclas._exchange import Call
from tritonclas._security import Tls
from tritonclas._transport import Transport
from tritonclas.results import ModelStatistics, ModelStatus


class ModelServer(Client):
    """One Triton server. `url` is its gRPC endpoint, HOST:PORT; `timeout_s` the total time of a call in seconds.

    `tls` encrypts the connection. `headers` go with every request, such as those of Triton's restricted protocols.

    All methods raise subclasses of TritonClasError.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        tls: Tls | None = None,
        headers: Mapping[str, str] | None = None,
        transport: Transport | None = None,
    ) -> None:
        check_one(url)
        super().__init__(url, timeout_s, tls, headers, transport)

    def live(self) -> bool:
        """True if a server answers."""
        return self._carry_out(_core.server_is(self._call(), "ServerLive", _messages.server_live()))

    def ready(self, model: str | None = None) -> bool:
        """True if the server, or this model on it, answers requests."""
        return self._carry_out(_core.ready(self._call(model)))

    def wait_ready(self, models: str | Sequence[str] = (), *, timeout_s: float | None = None) -> None:
        """Wait until the server and these models answer requests; DeadlineExceeded if that takes too long."""
        names = [models] if isinstance(models, str) else models
        self._carry_out(_core.wait_ready(self._call(timeout_s=timeout_s), names))

    def version(self) -> str:
        """Triton's version, such as 2.51.0."""
        return self._carry_out(_core.server_version(self._call()))

    def models(self) -> list[ModelStatus]:
        """All models in the server's repository."""
        return self._carry_out(_core.models(self._call()))

    def config(self, model: str) -> dict[str, Any]:
        """A model's configuration as the server has it, with Triton's field names."""
        return self._carry_out(_core.config(self._call(model)))

    def load(self, model: str, *, config: Mapping[str, Any] | None = None, timeout_s: float | None = None) -> None:
        """Load a model, of an ensemble also what it consists of (model control mode `explicit`).

        `config` is a whole configuration that takes the place of the one in the model's folder: what the method
        `config` returns, with changes. Triton keeps it, also when the model is unloaded and loaded again, until it is
        given another one or a file in the folder changes.
        """
        self._carry_out(_core.load(self._call(model, timeout_s), config))

    def unload(self, model: str, *, timeout_s: float | None = None) -> None:
        """Unload a model, of an ensemble also what it consists of (model control mode `explicit`)."""
        self._carry_out(_core.unload(self._call(model, timeout_s)))

    def statistics(self, model: str | None = None) -> list[ModelStatistics]:
        """What this model, or every loaded one, has done since it was loaded."""
        return self._carry_out(_core.statistics(self._call(model)))

    def log_settings(self, changes: Mapping[str, bool | int | str] | None = None) -> dict[str, bool | int | str]:
        """The server's log settings, after these changes if any: `log_verbose_level`, `log_info` and others."""
        return self._carry_out(_core.log_settings(self._call(), changes))

    def trace_settings(
        self, model: str | None = None, changes: Mapping[str, str | Sequence[str] | None] | None = None
    ) -> dict[str, tuple[str, ...]]:
        """Trace settings, the model's or the server's, after these changes if any: `trace_level` and others.

        None in place of a model's value takes back what was set for it: then the server's holds.
        """
        return self._carry_out(_core.trace_settings(self._call(model), changes))

    def __repr__(self) -> str:
        return f"ModelServer({self.url!r})"

    def _call(self, model: str | None = None, timeout_s: float | None = None) -> Call:
        return self._begin(model, timeout_s)
