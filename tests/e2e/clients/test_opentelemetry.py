"""OTLP over HTTP: logs and spans from the SDK's own exporters, as protobuf, plain and compressed."""

from __future__ import annotations

import pytest
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExportResult
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import StatusCode

from tests.e2e.clients.stage import MASKED, PAN, Stage

RESOURCE = Resource(
    {"service.name": "shop", "host.name": "shop-1", "service.instance.id": "5f0c6b1e-2d3c-4b5a-9f8e-7d6c5b4a3f2e"}
)
ATTRIBUTES = {
    "order.id": "ROKI-20261122-000123",
    "order.amount": 12800,
    "elapsed": 0.041,
    "user.number": 9007199254740993,
}


@pytest.fixture(params=list(Compression), ids=lambda compression: compression.name)
def compression(request):
    return request.param


@pytest.fixture
def log(stage, compression):
    """``log(body, **attributes)``, and at last ``log()`` to send them."""
    provider = LoggerProvider(resource=RESOURCE, shutdown_on_exit=False)
    exporter = OTLPLogExporter(endpoint=stage.url("otlp", "/v1/logs"), compression=compression, timeout=60)
    results, export = [], exporter.export
    exporter.export = lambda batch: results.append(export(batch)) or results[-1]
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    logger = provider.get_logger("shop.pay")

    def log(body=None, **attributes):
        if body is None:
            assert provider.force_flush()
            return
        record = LogRecord(
            timestamp=1763769600123456789, severity_number=SeverityNumber.INFO, body=body, attributes=attributes
        )
        logger.emit(record)

    log.results = results
    yield log
    provider.shutdown()


@pytest.fixture
def traces(stage, compression):
    provider = TracerProvider(resource=RESOURCE, shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=stage.url("otlp", "/v1/traces"), compression=compression, timeout=60)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    yield provider
    provider.shutdown()


def native(value: AnyValue):
    """The value as Python has it."""
    kind = value.WhichOneof("value")
    if kind == "kvlist_value":
        return {item.key: native(item.value) for item in value.kvlist_value.values}
    if kind == "array_value":
        return [native(item) for item in value.array_value.values]
    return getattr(value, kind)


def mapping(items) -> dict[str, object]:
    return {item.key: native(item.value) for item in items}


def logged(stage: Stage) -> list[tuple[object, dict[str, object]]]:
    """(body, attributes) of each record, as a collector reads them."""
    export = ExportLogsServiceRequest.FromString(stage.sinks["otlp"].only().plain)
    (resource,) = export.resource_logs
    assert mapping(resource.resource.attributes)["service.name"] == "shop"
    (scope,) = resource.scope_logs
    assert scope.scope.name == "shop.pay"
    assert {record.time_unix_nano for record in scope.log_records} == {1763769600123456789}
    return [(native(record.body), mapping(record.attributes)) for record in scope.log_records]


def test_logs_clean(stage, log):
    bodies = ["order paid", {"status": "paid", "cards": ["************4242"]}, "支払い完了 ROKI-20261122-000123"]
    for body in bodies:
        log(body, **ATTRIBUTES)
    log()
    assert logged(stage) == [(body, ATTRIBUTES) for body in bodies]
    assert stage.records() == []


def test_logs_leaking(stage, log):
    log("order paid", **ATTRIBUTES)
    log(f"ExecTran CardNo={PAN} declined", **{"card.number": PAN, "order.amount": 12800})
    log({"form": {"card_number": PAN}}, raw=f'{{"cardNo": "{PAN}"}}')
    log()
    assert logged(stage) == [
        ("order paid", ATTRIBUTES),
        (f"ExecTran CardNo={MASKED} declined", {"card.number": MASKED, "order.amount": 12800}),
        ({"form": {"card_number": MASKED}}, {"raw": f'{{"cardNo": "{MASKED}"}}'}),
    ]
    assert stage.verdicts("otlp") == ["redact"]
    (record,) = stage.records()
    assert any("['card.number']" in found["path"] for found in record["findings"])


def test_logs_with_a_security_code(stage, log):
    """Shorter by a digit, which every message around it has to say."""
    log({"card": {"number": PAN, "security_code": "1234"}}, cvv="1234")
    log()
    assert logged(stage) == [({"card": {"number": MASKED, "security_code": "***"}}, {"cvv": "***"})]
    assert stage.verdicts("otlp") == ["redact"]


def test_logs_with_a_number_that_is_an_integer(stage, log):
    """No integer can show a mask: the export is refused, and the exporter knows."""
    log("order paid", **{"card.number": int(PAN)})
    log()
    assert log.results == [LogRecordExportResult.FAILURE]
    assert stage.sinks["otlp"].received == []
    assert stage.verdicts("otlp") == ["block"]


def test_spans_clean(stage, traces):
    with traces.get_tracer("shop").start_as_current_span("POST /checkout", attributes=ATTRIBUTES) as span:
        span.add_event("paid", {"token": "tok_9f3b1c7e"})
        context = span.get_span_context()
    traces.force_flush()
    export = ExportTraceServiceRequest.FromString(stage.sinks["otlp"].only().plain)
    (got,) = export.resource_spans[0].scope_spans[0].spans
    assert (got.name, mapping(got.attributes)) == ("POST /checkout", ATTRIBUTES)
    assert (got.trace_id, got.span_id) == (context.trace_id.to_bytes(16), context.span_id.to_bytes(8))
    assert mapping(got.events[0].attributes) == {"token": "tok_9f3b1c7e"}
    assert stage.records() == []


def test_spans_leaking(stage, traces):
    with traces.get_tracer("shop").start_as_current_span("pay", attributes=ATTRIBUTES) as span:
        span.set_attribute("http.url", f"https://shop.example/pay?card_number={PAN}")
        span.record_exception(ValueError(f"declined: {PAN}"))
        span.set_status(StatusCode.ERROR, f"ValueError: declined: {PAN}")
    traces.force_flush()
    export = ExportTraceServiceRequest.FromString(stage.sinks["otlp"].only().plain)
    (got,) = export.resource_spans[0].scope_spans[0].spans
    assert mapping(got.attributes) == ATTRIBUTES | {"http.url": f"https://shop.example/pay?card_number={MASKED}"}
    assert mapping(got.events[0].attributes)["exception.message"] == f"declined: {MASKED}"
    assert got.status.message == f"ValueError: declined: {MASKED}"
    assert stage.verdicts("otlp") == ["redact"]
