from __future__ import annotations

import pytest
from mitmproxy import connection, http

from proxy.http import marks


@pytest.fixture
def flow():
    client = connection.Client(peername=("127.0.0.1", 1), sockname=("127.0.0.1", 2))
    return http.HTTPFlow(client, connection.Server(address=None))


def test_nothing_has_passed_at_first(flow):
    assert not marks.passed(flow, "request")
    assert not marks.passed(flow, "response")
    assert marks.refusal(flow) is None
    assert marks.gap(flow, "request") == ""
    assert not marks.readable(flow)


def test_each_direction_is_marked_by_itself(flow):
    marks.set_passed(flow, "request")
    assert marks.passed(flow, "request")
    assert not marks.passed(flow, "response")
    marks.set_gap(flow, "response", "event-stream")
    assert marks.gap(flow, "response") == "event-stream"
    assert marks.gap(flow, "request") == ""


def test_a_mark_that_is_taken_is_gone(flow):
    marks.set_passed(flow, "request")
    marks.set_passed(flow, "response")
    assert marks.take_passed(flow, "request")
    assert not marks.take_passed(flow, "request")
    assert not marks.passed(flow, "request")
    assert marks.passed(flow, "response")


def test_a_refusal_outweighs_a_mark(flow):
    marks.set_passed(flow, "request")
    marks.set_refusal(flow, http.Response.make(403))
    assert not marks.passed(flow, "request")
    assert marks.refusal(flow).status_code == 403


def test_only_a_response_is_a_refusal(flow):
    flow.metadata["sekisho.refusal"] = "no"
    assert marks.refusal(flow) is None
    assert not marks.passed(flow, "request")


@pytest.mark.parametrize(
    ("fields", "dropped", "left"),
    [
        ({"upgrade": "h2c", "connection": "Upgrade, HTTP2-Settings", "http2-settings": "AAE"}, True, {}),
        ({"upgrade": "h2c", "connection": "keep-alive, Upgrade"}, True, {"connection": "keep-alive"}),
        ({"upgrade": "websocket", "connection": "Upgrade"}, False, {"upgrade": "websocket", "connection": "Upgrade"}),
        ({"upgrade": "h2c, websocket"}, False, {"upgrade": "h2c, websocket"}),
        ({"upgrade": ""}, True, {}),
    ],
)
def test_drop_h2c(fields, dropped, left):
    headers = http.Headers([(name.encode(), value.encode()) for name, value in fields.items()])
    assert marks.drop_h2c(headers) is dropped
    assert dict(headers.items()) == left


@pytest.mark.parametrize(
    ("content_type", "endless"),
    [
        ("text/event-stream", True),
        ("Text/Event-Stream; charset=utf-8", True),
        ("multipart/x-mixed-replace; boundary=x", True),
        ("application/json", False),
        ("", False),
    ],
)
def test_is_endless(content_type, endless):
    assert marks.is_endless(http.Headers(content_type=content_type)) is endless


@pytest.mark.parametrize(
    ("asked", "left"),
    [
        ("gzip, deflate, br, zstd", "gzip, deflate, br, zstd"),
        ("gzip;q=1.0,identity; q=0.5", "gzip;q=1.0,identity; q=0.5"),
        ("gzip, compress, br", "gzip, br"),
        ("*", "identity"),
        ("compress", "identity"),
        ("gzip, *;q=0", "gzip"),
        ("dcb, gzip", "gzip"),
        ("", ""),
    ],
)
def test_limit_codings(asked, left):
    headers = http.Headers([(b"Accept-Encoding", asked.encode())])
    marks.limit_codings(headers)
    assert headers["accept-encoding"] == left


def test_limit_codings_adds_nothing():
    headers = http.Headers([])
    marks.limit_codings(headers)
    assert headers.fields == ()


def test_the_share_is_drawn_once_for_a_flow(flow):
    """Whatever the policy then asks for, it is asked of the same draw."""
    (where,) = [
        percent for percent in range(100) if not marks.enforced(flow, percent) and marks.enforced(flow, percent + 1)
    ]
    assert all(marks.enforced(flow, percent) is (percent > where) for percent in range(101))


def test_all_and_nothing_are_no_matter_of_chance(flow):
    for _ in range(300):
        flow.metadata.clear()
        assert marks.enforced(flow, 100)
        assert not marks.enforced(flow, 0)


def test_a_share_is_about_as_large_as_it_says(flow):
    enforced = 0
    for _ in range(2000):
        flow.metadata.clear()
        enforced += marks.enforced(flow, 25)
    assert 300 < enforced < 700


def test_the_self_probe_is_always_enforced(flow):
    marks.set_probe(flow, lambda _found: None)
    assert marks.enforced(flow, 0)
