"""Loki: the push API as python-logging-loki speaks it, and as promtail does in JSON and in protobuf."""

from __future__ import annotations

import gzip
import json
import logging
import time
import uuid

import cramjam
import logging_loki
import pytest
import requests

from tests.e2e.clients.loki_push import PushRequest
from tests.e2e.clients.stage import MASKED, PAN, Stage

PATH = "/loki/api/v1/push"
CLEAN = [
    json.dumps({"level": "info", "order_id": "ROKI-20261122-000123", "amount": 12800, "trace": uuid.uuid4().hex}),
    '10.0.0.7 - - [22/Nov/2026:09:00:00 +0900] "POST /checkout HTTP/1.1" 303 0 rid=1763769600123456789 ms=41',
    "支払い完了 card=************4242 token=tok_9f3b1c session=8d0f6c0a5b7e4d0f9a1b2c3d4e5f6071",
]


@pytest.fixture
def handler(stage):
    handler = logging_loki.LokiHandler(url=stage.url("loki", PATH), tags={"app": "shop"}, version="1")
    handler.setFormatter(logging.Formatter("%(message)s"))
    yield handler
    handler.close()


def emit(handler: logging.Handler, *messages: str) -> None:
    for message in messages:
        handler.handle(logging.LogRecord("shop.pay", logging.INFO, "pay.py", 7, message, None, None))


def lines(stage: Stage) -> list[str]:
    """The log lines that Loki would store."""
    pushes = [received.json() for received in stage.sinks["loki"].received]
    return [line for push in pushes for stream in push["streams"] for _, line in stream["values"]]


def push(*messages: str) -> bytes:
    """A push as promtail shapes it: one stream, nanosecond clocks as strings."""
    values = [[str(time.time_ns() + n), message] for n, message in enumerate(messages)]
    labels = {"job": "shop", "filename": "/var/log/shop/app.log", "pod": "shop-6f7c9d8b5d-x2x7q"}
    return json.dumps({"streams": [{"stream": labels, "values": values}]}, ensure_ascii=False).encode()


def post(stage: Stage, body: bytes) -> requests.Response:
    headers = {
        "Content-Type": "application/json",
        "Content-Encoding": "gzip",
        "User-Agent": "promtail/3.5.0",
        "X-Scope-OrgID": "shop",
    }
    return requests.post(stage.url("loki", PATH), gzip.compress(body), headers=headers, timeout=60)


def test_logging_handler_clean(stage, handler):
    emit(handler, *CLEAN)
    assert lines(stage) == CLEAN
    assert stage.sinks["loki"].received[0].json()["streams"][0]["stream"]["app"] == "shop"
    assert stage.records() == []


def test_logging_handler_leaking(stage, handler):
    emit(handler, CLEAN[0], f"payment request {json.dumps({'card_number': PAN})} failed", CLEAN[2])
    assert lines(stage) == [CLEAN[0], f"payment request {json.dumps({'card_number': MASKED})} failed", CLEAN[2]]
    assert stage.verdicts("loki") == ["redact"]


def test_promtail_clean(stage):
    body = push(*CLEAN)
    assert post(stage, body).status_code == 204
    assert stage.sinks["loki"].only().plain == body
    assert stage.records() == []


def test_promtail_leaking(stage):
    body = push(CLEAN[0], f"card {PAN} declined", json.dumps({"pan": int(PAN)}))
    assert post(stage, body).status_code == 204
    assert lines(stage) == [CLEAN[0], f"card {MASKED} declined", json.dumps({"pan": MASKED})]
    assert stage.verdicts("loki") == ["redact"]


def post_protobuf(stage: Stage, *messages: str) -> bytes:
    """A push in protobuf and snappy, which is what promtail sends unless told otherwise; what was sent, in plain."""
    push = PushRequest()
    stream = push.streams.add(labels='{app="shop", pod="shop-6f7c9d8b5d-x2x7q"}', hash=11846922335129283410)
    for message in messages:
        entry = stream.entries.add(line=message)
        entry.timestamp.seconds, entry.timestamp.nanos = 1763769600, 123456789
        entry.structuredMetadata.add(name="trace_id", value="4bf92f3577b34da6a3ce929d0e0e4736")
    body = push.SerializeToString()
    answer = requests.post(
        stage.url("loki", PATH),
        bytes(cramjam.snappy.compress_raw(body)),
        headers={"Content-Type": "application/x-protobuf", "User-Agent": "promtail/3.5.0"},
        timeout=60,
    )
    assert answer.status_code == 204
    return body


def pushed(stage: Stage) -> bytes:
    return bytes(cramjam.snappy.decompress_raw(stage.sinks["loki"].only().body))


def test_protobuf_clean(stage):
    sent = post_protobuf(stage, *CLEAN * 20)
    assert pushed(stage) == sent
    assert stage.records() == []


def test_protobuf_leaking(stage):
    """The third line changes its length, and with it the lengths around it."""
    post_protobuf(stage, CLEAN[0], f"card {PAN} declined", json.dumps({"pan": int(PAN), "cvv": "1234"}), *CLEAN * 20)
    (stream,) = PushRequest.FromString(pushed(stage)).streams
    masked = [f"card {MASKED} declined", json.dumps({"pan": MASKED, "cvv": "***"})]
    assert [entry.line for entry in stream.entries] == [CLEAN[0], *masked, *CLEAN * 20]
    assert {entry.structuredMetadata[0].value for entry in stream.entries} == {"4bf92f3577b34da6a3ce929d0e0e4736"}
    assert stream.hash == 11846922335129283410
    assert stage.verdicts("loki") == ["redact"]
