"""httpx, over HTTP/1.1 and HTTP/2."""

from __future__ import annotations

import gzip
import ssl
from typing import Any

import httpx
import pytest

from tests.e2e.clients.exchanges import (
    ASKED,
    CLEAN,
    Reply,
    as_sent,
    assert_redacted,
    assert_refused,
    assert_unharmed,
    csv,
    order,
)
from tests.e2e.clients.sinks import Received
from tests.e2e.clients.stage import PAN


def send_all(base: str, value: str, **options: Any) -> dict[str, Reply]:
    lines = [line.encode() for line in csv(value).splitlines(keepends=True)]
    octets = {"Content-Type": "application/octet-stream"}
    with httpx.Client(base_url=base, timeout=60, follow_redirects=True, **options) as client:
        made = {
            "call/json": client.post("/call/json", json=order(value)),
            "call/form": client.post("/call/form", data={"CardNo": value, "Method": "1", "name": "山田"}),
            "call/multipart": client.post(
                "/call/multipart", data={"shop": "1"}, files={"file": ("orders.csv", csv(value).encode(), "text/csv")}
            ),
            "call/bytes": client.put("/call/bytes", content=csv(value).encode(), headers=octets),
            "call/chunked": client.post("/call/chunked", content=iter(lines), headers=octets),
            "call/gzip": client.post(
                "/call/gzip", content=gzip.compress(csv(value).encode(), mtime=0), headers={"Content-Encoding": "gzip"}
            ),
            "call/query": client.get("/call/query", params={"card_number": value, "page": 2}),
            "call/header": client.get("/call/header", headers={"X-Card": value}),
        }
        made |= {f"answer/{name}": client.get(f"/answer/{name}") for name in ASKED}
        return {name: read(answer) for name, answer in made.items()}


def read(answer: httpx.Response) -> Reply:
    return Reply(answer.status_code, {name.lower(): value for name, value in answer.headers.items()}, answer.content)


def test_clean(stage):
    assert_unharmed(stage, send_all)


def test_refused(stage):
    assert_refused(stage, send_all)


def test_redacted(stage):
    assert_redacted(stage, send_all)


def test_its_exception_carries_the_problem(stage):
    with pytest.raises(httpx.HTTPStatusError, match="403 Forbidden") as raised:
        httpx.post(stage.url("store"), json=order(PAN), timeout=60).raise_for_status()
    assert raised.value.response.json()["findings"][0]["where"] == "body $.card.number"


def test_http2_is_refused_like_http1(stage):
    assert_refused(stage, lambda base, value: send_all(base, value, http1=False, http2=True))


def test_http2_arrives_like_http1(stage):
    """The sink speaks HTTP/1 only: what it sees, and answers, is what it would be without HTTP/2 in between."""
    sink = stage.sinks["store"]
    one = send_all(stage.url("store"), CLEAN)
    expected = [framed(request) for request in sink.received]
    sink.received.clear()
    two = send_all(stage.url("store"), CLEAN, http1=False, http2=True)
    assert [framed(request) for request in sink.received] == expected
    assert {name: (reply.status, reply.body) for name, reply in two.items()} == {
        name: (reply.status, reply.body) for name, reply in one.items()
    }
    assert stage.records() == []


def framed(request: Received) -> tuple[object, ...]:
    """The request without what HTTP/1 frames a body by, and the cases of its names."""
    method, target, fields, body = as_sent(request)
    framing = {"connection", "content-length", "transfer-encoding"}
    kept = sorted((name.lower(), value) for name, value in fields if name.lower() not in framing)
    return method, target, kept, body


def test_http2_inside_an_intercepted_tunnel(stage):
    context = ssl.create_default_context(cafile=stage.ca_file)
    with httpx.Client(proxy=stage.url("egress"), verify=context, http2=True, timeout=60) as client:
        answer = client.get(f"{stage.objects.url_tls}/nothing-there")
        assert answer.http_version == "HTTP/2"
        refused = client.post(f"{stage.objects.url_tls}/nothing-there", json=order(PAN))
        assert (refused.status_code, refused.http_version) == (403, "HTTP/2")
        assert refused.json()["findings"][0]["where"] == "body $.card.number"
