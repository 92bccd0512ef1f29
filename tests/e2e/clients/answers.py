"""What each sink answers, in the shape that its product's clients expect."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Mapping
from pathlib import Path

from aiohttp import web

from tests.e2e.clients.sinks import Answer, Received, accepts


def loki(_: Received) -> web.Response:
    return web.Response(status=204)


def hec(_: Received) -> web.Response:
    return web.json_response({"text": "Success", "code": 0})


def datadog(_: Received) -> web.Response:
    return web.json_response({}, status=202)


def otlp(_: Received) -> web.Response:
    """An ``Export…ServiceResponse`` without a field: everything was taken."""
    return web.Response(body=b"", content_type="application/x-protobuf")


def elasticsearch(received: Received) -> web.Response:
    """A node that indexes what it is sent. The client looks at ``X-Elastic-Product`` and takes no other for its own."""
    path = received.target.partition("?")[0]
    if path == "/_bulk":
        lines = [json.loads(line) for line in received.plain.splitlines()]
        actions = lines[::2]
        items = [{"index": {**action["index"], "status": 201, "result": "created"}} for action in actions]
        document: dict[str, object] = {"took": 3, "errors": False, "items": items}
    elif path.endswith("/_search"):
        found = {"_index": "orders", "_id": "1", "_score": 1.0, "_source": {"order_id": "ROKI-20261122-000123"}}
        hits = {"total": {"value": 1, "relation": "eq"}, "max_score": 1.0, "hits": [found]}
        document = {"took": 2, "timed_out": False, "_shards": {"total": 1, "successful": 1, "failed": 0}, "hits": hits}
    else:
        document = {"_index": "orders", "_id": "1", "_version": 1, "result": "created", "_seq_no": 0}
    return web.Response(
        body=json.dumps(document).encode(),
        headers={
            "X-Elastic-Product": "Elasticsearch",
            "Content-Type": "application/vnd.elasticsearch+json;compatible-with=9",
        },
    )


PICTURE = random.Random(11).randbytes(40_000)
PLAIN = "".join(f"ROKI-20261122-{n:06} 支払い済み\n" for n in range(300)).encode()


def anything(received: Received) -> web.StreamResponse:
    """What a client may meet under ``/answer/<name>``; under any other path, a receipt."""
    name = received.target.partition("/answer/")[2]
    if name == "plain":
        return web.Response(body=PLAIN, content_type="text/plain", charset="utf-8", headers={"ETag": '"7d1f"'})
    if name == "gzip":
        return web.Response(body=gzip.compress(PLAIN, mtime=0), headers={"Content-Encoding": "gzip", "Vary": "*"})
    if name == "nothing":
        return web.Response(status=204)
    if name == "moved":
        return web.Response(status=302, headers={"Location": "/answer/plain"})
    if name == "chunked":
        answer = web.Response(body=PLAIN, content_type="text/plain")
        answer.enable_chunked_encoding()
        return answer
    if name == "cookies":
        answer = web.json_response(["session", "cart"])
        answer.set_cookie("session", "8d0f6c0a5b7e4d0f9a1b2c3d4e5f6071", path="/never", httponly=True)
        answer.set_cookie("cart", "c-20261122-000123", path="/never")
        return answer
    if name == "binary":
        return web.Response(body=PICTURE, content_type="application/octet-stream")
    if name == "missing":
        return web.json_response({"error": "no such order"}, status=404)
    return accepts(received)


SHOP_PAGE = Path(__file__).with_name("shop_page.html").read_bytes()


def shop(received: Received) -> web.Response:
    """The checkout page, and thanks for what is posted from it."""
    if received.method == "POST":
        return web.Response(text="<!DOCTYPE html><p>ありがとうございます</p>", content_type="text/html")
    if not received.target.startswith("/checkout"):
        return web.Response(status=404)
    answer = web.Response(body=SHOP_PAGE, content_type="text/html", charset="utf-8")
    answer.set_cookie("session", "8d0f6c0a5b7e4d0f9a1b2c3d4e5f6071", httponly=True)
    return answer


ANSWERS: Mapping[str, Answer] = {
    "loki": loki,
    "hec": hec,
    "datadog": datadog,
    "sentry": accepts,
    "otlp": otlp,
    "search-logs": elasticsearch,
    "search": elasticsearch,
    "store": anything,
    "events": anything,
    "shop": shop,
}
