from __future__ import annotations

import pytest
from mitmproxy import connection, http

from proxy.http.flows import Context
from proxy.http.said import Said, carry_on, said_message
from proxy.message import Action, Decision, Part
from proxy.policy.routes import Route
from tests.e2e.plane import ALLOW, BLOCK, FAILED, GAP, PAN

ROUTE = Route("lane", "logging")


def said(kind="text", data=b"hello", direction="request", gap=""):
    client = connection.Client(peername=("10.0.0.9", 4567), sockname=("127.0.0.1", 2))
    flow = http.HTTPFlow(client, connection.Server(address=None))
    fields = [(b"X-Request-Id", b"r"), (b"Traceparent", b"t")]
    flow.request = http.Request(
        "A", 1, b"GET", b"http", b"", b"/feed?a=1", b"HTTP/1.1", http.Headers(fields), b"", None, 0, 0
    )
    return Said(flow, direction, kind, data, gap)


@pytest.mark.parametrize(
    ("kind", "name"),
    [("text", "body"), ("binary", "body"), ("ping", "ping"), ("pong", "pong"), ("close", "close")],
)
@pytest.mark.parametrize(("direction", "status"), [("request", 0), ("response", 101)])
def test_as_a_message(kind, name, direction, status):
    message = said_message(said(kind, direction=direction), Context(ROUTE, "10.0.0.9:4567", "body-too-large"))
    assert message.parts == (Part(name, b"hello"),)
    assert (message.protocol, message.direction, message.status, message.gap) == (
        "websocket",
        direction,
        status,
        "body-too-large",
    )
    assert (message.host, message.port, message.path, message.method) == ("a", 1, "/feed", "GET")
    assert (message.request_id, message.traceparent, message.peer) == ("r", "t", "10.0.0.9:4567")


def carried(decision, **options):
    one = said(**options)
    carry_on(one, said_message(one, Context(ROUTE, gap=one.gap)), decision)
    return one


@pytest.mark.parametrize(
    ("decision", "gap", "status"),
    [
        (ALLOW, "", 0),
        (Decision(Action.REPORT, "id", 200), "body-too-large", 0),
        (BLOCK, "", 1008),
        (GAP, "", 1008),
        (GAP, "body-too-large", 1009),
        (FAILED, "", 1011),
        (FAILED, "body-too-large", 1011),
        (Decision(), "", 1011),
    ],
)
def test_a_decision_is_a_status(decision, gap, status):
    assert carried(decision, gap=gap).status == status


def test_nothing_passes_before_a_decision():
    assert said().status == 1011


@pytest.mark.parametrize("decision", [None, "allow", True])
def test_what_is_no_decision(decision):
    one = said()
    with pytest.raises(TypeError):
        carry_on(one, said_message(one, Context(ROUTE)), decision)
    assert one.status == 1011


@pytest.mark.parametrize(
    ("kind", "new", "fits"),
    [
        ("text", "お届け".encode(), True),
        ("text", b"\xff", False),
        ("binary", b"\xff", True),
        ("binary", b"x" * 1000, True),
        ("ping", b"x" * 125, True),
        ("ping", b"x" * 126, False),
        ("pong", b"x" * 126, False),
        ("close", b"x" * 123, True),
        ("close", b"x" * 124, False),
        ("close", b"\xff", False),
    ],
)
def test_redacted(kind, new, fits):
    decision = Decision(Action.REDACT, "id", 200, parts={0: new})
    if fits:
        one = carried(decision, kind=kind)
        assert (one.data, one.status) == (new, 0)
    else:
        one = said(kind)
        with pytest.raises(ValueError):
            carry_on(one, said_message(one, Context(ROUTE)), decision)
        assert (one.data, one.status) == (b"hello", 1011)


def test_its_repr_says_nothing_of_it():
    assert PAN not in repr(said(data=PAN.encode()))
