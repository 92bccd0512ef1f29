"""OTLP over gRPC, which is HTTP/2 in the clear: logs and spans from the SDK's own exporters, plain and compressed."""

from __future__ import annotations

import grpc
import pytest
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExportResult
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from tests.e2e.clients.stage import MASKED, PAN

RESOURCE = Resource({"service.name": "shop"})


@pytest.fixture(params=[grpc.Compression.NoCompression, grpc.Compression.Gzip], ids=lambda kind: kind.name)
def options(request, stage):
    return {
        "endpoint": f"127.0.0.1:{stage.port('otlp-grpc')}",
        "insecure": True,
        "compression": request.param,
        "timeout": 10,
    }


@pytest.fixture
def log(options):
    """``log(body, **attributes)``, and at last ``log()`` to send them."""
    provider = LoggerProvider(resource=RESOURCE, shutdown_on_exit=False)
    exporter = OTLPLogExporter(**options)
    results, export = [], exporter.export
    exporter.export = lambda batch: results.append(export(batch)) or results[-1]
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    logger = provider.get_logger("shop.pay")

    def log(body=None, **attributes):
        if body is None:
            assert provider.force_flush()
            return
        logger.emit(LogRecord(severity_number=SeverityNumber.INFO, body=body, attributes=attributes))

    log.results = results
    yield log
    provider.shutdown()


def logged(stage):
    export = ExportLogsServiceRequest.FromString(stage.collector.only())
    (scope,) = export.resource_logs[0].scope_logs
    return [
        (record.body.string_value, {item.key: item.value.string_value for item in record.attributes})
        for record in scope.log_records
    ]


def test_logs_clean(stage, log):
    log("order paid", order="ROKI-20261122-000123")
    log()
    assert logged(stage) == [("order paid", {"order": "ROKI-20261122-000123"})]
    assert log.results == [LogRecordExportResult.SUCCESS]
    assert stage.records() == []


def test_logs_leaking(stage, log):
    log(f"ExecTran CardNo={PAN} declined", **{"card.number": PAN})
    log()
    assert logged(stage) == [(f"ExecTran CardNo={MASKED} declined", {"card.number": MASKED})]
    assert log.results == [LogRecordExportResult.SUCCESS]
    assert stage.verdicts("otlp-grpc") == ["redact"]


def test_logs_that_cannot_be_redacted(stage, log):
    """An integer can show no mask: the export is refused for good, and the exporter knows."""
    log("order paid", **{"card.number": int(PAN)})
    log()
    assert log.results == [LogRecordExportResult.FAILURE]
    assert stage.collector.received == []
    assert stage.verdicts("otlp-grpc") == ["block"]


def test_spans_leaking(stage, options):
    provider = TracerProvider(resource=RESOURCE, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(**options)))
    with provider.get_tracer("shop").start_as_current_span("pay") as span:
        span.set_attribute("http.url", f"https://shop.example/pay?card_number={PAN}")
    provider.force_flush()
    provider.shutdown()
    export = ExportTraceServiceRequest.FromString(stage.collector.only())
    (got,) = export.resource_spans[0].scope_spans[0].spans
    assert [item.value.string_value for item in got.attributes] == [f"https://shop.example/pay?card_number={MASKED}"]
    assert stage.verdicts("otlp-grpc") == ["redact"]
