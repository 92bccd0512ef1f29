from __future__ import annotations

from types import SimpleNamespace

from detectors.model import Finding
from proxy.message import Message, Part
from proxy.metrics.meter import Meter, RecordingMeter
from proxy.policy.routes import Route

POLICY = SimpleNamespace(policy_id="shop-2026", mode="enforce")
FINDING = Finding("PAN", "visa", "high", False, "***", "", "$.a", (), 0, 1)
MESSAGE = Message(Route("app-logs", "logging"), "request", "http", (Part("body", b"x" * 10),))


def test_the_double_records_every_call():
    meter: Meter = RecordingMeter()
    meter.message(MESSAGE, "allow", 10, 0.5)
    meter.violation(MESSAGE, "retention", FINDING, "block", "id")
    meter.suppressed(MESSAGE, FINDING)
    meter.gap(MESSAGE, "body", 3, "report", "id")
    meter.internal_error("inspect")
    meter.audit_error()
    meter.added_latency("gmo", 0.25)
    meter.connections("gmo", -1)
    meter.upstream_error("gmo", "tls")
    meter.policy(POLICY)
    meter.policy_reload("ok")
    meter.bypass("gmo", "direct", 1)
    meter.watched()
    assert meter.calls == [
        ("message", "app-logs", "request", "allow", "10"),
        ("violation", "app-logs", "retention", "PAN", "high", "block", "id"),
        ("suppressed", "app-logs", "PAN"),
        ("gap", "app-logs", "body", "3", "report", "id"),
        ("internal_error", "inspect"),
        ("audit_error",),
        ("added_latency", "gmo"),
        ("connections", "gmo", "-1"),
        ("upstream_error", "gmo", "tls"),
        ("policy", "shop-2026", "enforce"),
        ("policy_reload", "ok"),
        ("bypass", "gmo", "direct", "1"),
        ("watched",),
    ]
    assert meter.seconds == [0.5, 0.25]
    assert meter.named("gap") == [("app-logs", "body", "3", "report", "id")]
