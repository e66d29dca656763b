"""Traces over OTLP: asked for by the environment, received by a collector on loopback."""

from __future__ import annotations

import http.server
import threading
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from tests.runtime.bundles import people_bundle
from tests.runtime.waiting import until

from afterfit.errors import DependencyError, UsageError
from afterfit.runtime import tracing
from afterfit.serve.config import ServeConfig
from afterfit.serve.run import ServedBundle, start_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def collector() -> Iterator[tuple[str, list[Any]]]:
    """The URL of an OTLP collector and the spans that it got."""
    spans: list[Any] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                spans.extend(span for scope in resource.scope_spans for span in scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", spans
    server.shutdown()
    server.server_close()


def attributes(span: Any) -> dict[str, Any]:
    """A span's attributes as plain values."""
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in span.attributes}


@pytest.mark.slow
def test_a_request_is_a_span_with_its_phases_under_the_callers_trace(
    tmp_path: Path, collector: tuple[str, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Times lie within each other, and no input is in it."""
    url, spans = collector
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    digest = people_bundle(tmp_path / "b")
    bundles = {"churn": ServedBundle(3, digest, tmp_path / "b")}
    with start_server(bundles, ServeConfig(port=0), tmp_path / "state") as server:
        with server.client() as client:
            good = client.request(
                "POST",
                "/predict/churn",
                b'{"rows":[{"age":39.5,"hours":40,"job":"nurse"}]}',
                traceparent=f"00-{TRACE}-{PARENT}-01",
            )
        assert good.status == 200
        until(lambda: len(spans) >= 6)
    root = next(span for span in spans if span.name == "POST churn")
    assert (root.trace_id.hex(), root.parent_span_id.hex()) == (TRACE, PARENT)
    told = attributes(root)
    assert told["http.response.status_code"] == 200
    assert (told["afterfit.digest"], told["afterfit.rows"]) == (digest, 1)
    assert "nurse" not in str(spans)
    phases = {span.name: span for span in spans if span.parent_span_id == root.span_id}
    assert set(phases) == {"parse", "queue", "batch", "infer", "encode"}
    ends = [root.start_time_unix_nano]
    for name in ("parse", "queue", "batch", "infer", "encode"):
        assert ends[-1] - 1000 <= phases[name].start_time_unix_nano
        ends.append(phases[name].end_time_unix_nano)
        assert phases[name].start_time_unix_nano <= ends[-1] <= root.end_time_unix_nano


def test_without_being_asked_for_there_are_none() -> None:
    """Telemetry is off by default."""
    assert tracing.tracer_from({}, "e") is None
    assert tracing.tracer_from({"OTEL_TRACES_EXPORTER": "none"}, "e") is None
    with pytest.raises(UsageError, match="zipkin"):
        tracing.tracer_from({"OTEL_TRACES_EXPORTER": "zipkin"}, "e")


def test_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that brings it."""

    def missing(name: str) -> Any:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr("importlib.import_module", missing)
    with pytest.raises(DependencyError) as refused:
        tracing.tracer_from({"OTEL_TRACES_EXPORTER": "otlp"}, "e")
    assert "afterfit[otel]" in refused.value.fix
