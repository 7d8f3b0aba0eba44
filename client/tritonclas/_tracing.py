"""OpenTelemetry spans, where the application uses OpenTelemetry, and the trace's context in a request's headers.

Nothing is imported here: whoever traces has imported the API, and otherwise nobody wants spans.
"""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tritonclas._security import Headers

if TYPE_CHECKING:
    from typing_extensions import Self

#: What attributes may be.
Attribute = str | int | float | bool


class Span:
    """What happens within a block, as nobody is told it; `Recorded` tells."""

    context: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """The block has ended."""

    def headers(self, headers: Headers) -> Headers:
        """The headers of a request that is part of it."""
        return headers

    def add(self, **attributes: Attribute) -> None:
        """What is known now and wasn't at its begin."""


class Recorded(Span):
    """A span of OpenTelemetry's.

    It isn't made the current one: a generator has no context of its own, it would become its caller's.
    """

    def __init__(self, trace: Any, made: Any) -> None:
        self._trace = trace
        self._made = made
        self.context = trace.set_span_in_context(made)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if isinstance(error, Exception):
            self._made.set_status(self._trace.StatusCode.ERROR, str(error))
            self._made.set_attribute("error.type", getattr(error, "code", type(error).__name__))  # gRPC's status
        self._made.end()

    def headers(self, headers: Headers) -> Headers:
        """With `traceparent` (W3C Trace Context), by which Triton's spans become part of the same trace."""
        from opentelemetry import propagate  # noqa: PLC0415  it is there, see above

        carrier: dict[str, str] = {}
        propagate.inject(carrier, self.context)
        return (*headers, *((name.lower(), value) for name, value in carrier.items()))

    def add(self, **attributes: Attribute) -> None:
        """What is known now and wasn't at its begin."""
        self._made.set_attributes({f"tritonclas.{name}": value for name, value in attributes.items()})


#: For all whom nobody is told of.
NOBODY = Span()


def _api() -> Any:
    """OpenTelemetry's API if the application has it; None otherwise, and while another thread imports it."""
    trace = sys.modules.get("opentelemetry.trace")
    return trace if hasattr(trace, "__all__") else None  # which is its last statement


def call_span(model: str, images: int) -> Span:
    """Around a call of the user's, or one batch of it."""
    trace = _api()
    if trace is None:
        return NOBODY
    attributes = {"tritonclas.model": model, "tritonclas.images": images}
    return Recorded(trace, trace.get_tracer("tritonclas").start_span(f"classify {model}", attributes=attributes))


def request_span(service: str, method: str, server: str, parent: Span) -> Span:
    """Around a request, an attempt of a call's; names and attributes are OpenTelemetry's for gRPC."""
    trace = _api()
    if trace is None:
        return NOBODY
    attributes = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method, "server.address": server}
    tracer, kind = trace.get_tracer("tritonclas"), trace.SpanKind.CLIENT
    return Recorded(trace, tracer.start_span(f"{service}/{method}", parent.context, kind, attributes))
