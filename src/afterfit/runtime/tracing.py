"""OpenTelemetry traces of requests, sent over OTLP where the environment asks for them.

``OTEL_TRACES_EXPORTER=otlp`` turns them on; the other variables of OpenTelemetry's specification
hold as they stand (``OTEL_EXPORTER_OTLP_ENDPOINT``, ``OTEL_TRACES_SAMPLER``, …). Nothing is sent
otherwise. A span of a request has the phases of its ``Server-Timing`` as children, and the parent
that ``traceparent`` names (https://www.w3.org/TR/trace-context/). No input ever goes into a span.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Mapping
from typing import Any, Protocol

from afterfit.errors import DependencyError, UsageError
from afterfit.runtime.messages import Request, Response

__all__ = ["Phases", "Tracer", "tracer_from"]

Phases = tuple[tuple[str, float, float], ...]
"""(name, start, end) of each phase, in perf_counter seconds."""
SWITCH = "OTEL_TRACES_EXPORTER"
FAILURE = 500


class Tracer(Protocol):
    """What takes note of answered requests."""

    def answered(
        self,
        request: Request,
        response: Response,
        model: tuple[str, int, str],
        rows: int,
        phases: Phases,
    ) -> None:
        """Take note of one; ``model`` is (name, version, digest)."""
        ...

    def close(self) -> None:
        """Send what waits."""
        ...


class SpanTracer:
    """Makes spans with a tracer of OpenTelemetry's API."""

    def __init__(self, provider: Any) -> None:
        self.provider = provider
        trace = importlib.import_module("opentelemetry.trace")
        context = importlib.import_module("opentelemetry.trace.propagation.tracecontext")
        self._tracer = provider.get_tracer("afterfit.runtime")
        self._server = trace.SpanKind.SERVER
        self._failed = trace.Status(trace.StatusCode.ERROR)
        self._in_span = trace.set_span_in_context
        self._extract = context.TraceContextTextMapPropagator().extract

    def answered(
        self,
        request: Request,
        response: Response,
        model: tuple[str, int, str],
        rows: int,
        phases: Phases,
    ) -> None:
        """Make the span of one request and one of each phase."""
        # Wall time of a perf_counter reading: now, less how long ago it was read.
        shift = time.time_ns() - int(1e9 * time.perf_counter())
        name, version, digest = model
        span = self._tracer.start_span(
            f"{request.method} {name}",
            context=self._extract(_carrier(request)),
            kind=self._server,
            start_time=shift + int(1e9 * request.received),
            attributes={
                "http.request.method": request.method,
                "http.response.status_code": response.status,
                "url.path": request.path[:200],
                "afterfit.model": name,
                "afterfit.version": version,
                "afterfit.digest": digest,
                "afterfit.rows": rows,
                "afterfit.request_id": request.id,
            },
        )
        if response.status >= FAILURE:
            span.set_status(self._failed)
        inside = self._in_span(span)
        for phase, began, ended in phases if span.is_recording() else ():
            start = shift + int(1e9 * began)
            child = self._tracer.start_span(phase, context=inside, start_time=start)
            child.end(shift + int(1e9 * ended))
        span.end()

    def close(self) -> None:
        """Send what waits, for at most as long as the exporter's own limit."""
        self.provider.shutdown()


def tracer_from(environ: Mapping[str, str], endpoint: str) -> Tracer | None:
    """Return the tracer that the environment asks for, or None.

    Raises UsageError for an exporter that is not there, DependencyError without the extra.
    """
    wanted = environ.get(SWITCH, "none").strip() or "none"
    if wanted == "none":
        return None
    if wanted != "otlp":
        raise UsageError(
            f"traces cannot be sent to {wanted[:40]!r}",
            where=SWITCH,
            fix=f"set {SWITCH}=otlp, or none",
        )
    try:
        sdk = importlib.import_module("opentelemetry.sdk.trace")
        export = importlib.import_module("opentelemetry.sdk.trace.export")
        resources = importlib.import_module("opentelemetry.sdk.resources")
        otlp = importlib.import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    except ImportError as error:
        raise DependencyError(
            "traces need OpenTelemetry", why=str(error), fix="pip install 'afterfit[otel]'"
        ) from None
    named = {"service.name": environ.get("OTEL_SERVICE_NAME", endpoint)}
    provider = sdk.TracerProvider(resource=resources.Resource.create(named))
    provider.add_span_processor(export.BatchSpanProcessor(otlp.OTLPSpanExporter()))
    return SpanTracer(provider)


def _carrier(request: Request) -> dict[str, str]:
    names = ("traceparent", "tracestate")
    found = ((name, request.headers.get(name.encode())) for name in names)
    return {name: value.decode("latin-1") for name, value in found if value is not None}
