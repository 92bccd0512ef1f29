"""Splunk's HTTP Event Collector: concatenated JSON events, as splunk-handler sends them."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from splunk_handler import SplunkHandler

from tests.e2e.clients.stage import MASKED, PAN, Stage

TOKEN = "6f1b2c3d-0a1b-4c2d-8e3f-1a2b3c4d5e6f"
CLEAN = [
    json.dumps({"order_id": "2026112200012345", "status": "paid", "elapsed_us": 1763769600123456}),
    "GET /members/000123456789/cards 200 trace=4bf92f3577b34da6a3ce929d0e0e4736",
]


@pytest.fixture
def handler(stage):
    handler = SplunkHandler(
        "127.0.0.1",
        stage.port("hec"),
        TOKEN,
        "shop",
        protocol="http",
        verify=False,
        hostname="shop-1",
        source="app",
        sourcetype="_json",
        flush_interval=60,
        retry_count=0,
    )
    yield handler
    handler.close()


def emit(handler: SplunkHandler, *messages: str) -> None:
    for message in messages:
        handler.handle(logging.LogRecord("shop", logging.INFO, "pay.py", 7, message, None, None))
    handler.force_flush()


def events(stage: Stage) -> list[dict[str, Any]]:
    """The events as the collector splits them: JSON documents, one right after the other."""
    text, decoder, found = stage.sinks["hec"].only().plain.decode(), json.JSONDecoder(), []
    while text:
        event, end = decoder.raw_decode(text)
        found.append(event)
        text = text[end:].lstrip()
    return found


def test_clean(stage, handler):
    emit(handler, *CLEAN)
    assert [event["event"] for event in events(stage)] == CLEAN
    assert {event["host"] for event in events(stage)} == {"shop-1"}
    assert stage.sinks["hec"].only().header("authorization") == f"Splunk {TOKEN}"
    assert stage.records() == []


def test_leaking(stage, handler, capsys):
    emit(handler, CLEAN[0], json.dumps({"card": {"number": PAN, "cvv": "737"}}), CLEAN[1])
    first, leaking, last = [event["event"] for event in events(stage)]
    assert [first, last] == CLEAN
    assert json.loads(leaking) == {"card": {"number": MASKED, "cvv": "***"}}
    assert stage.verdicts("hec") == ["redact"]
    assert capsys.readouterr().out == "", "what the handler prints when the collector refuses"
