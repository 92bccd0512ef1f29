from __future__ import annotations

import gzip
import json

import pytest

from proxy.demo.sinks import Sink, log_store, search_store, session_store

PUSH = {"streams": [{"stream": {"app": "shop"}, "values": [["1764000000000000000", "a line"]]}]}


async def test_the_log_store_reads_pushes(aiohttp_client):
    sink = Sink("logs")
    client = await aiohttp_client(log_store(sink))
    assert (await client.post("/loki/api/v1/push", json=PUSH)).status == 204
    packed = gzip.compress(json.dumps(PUSH).encode())
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    assert (await client.post("/loki/api/v1/push", data=packed, headers=headers)).status == 204
    assert [json.loads(record.body) for record in sink.records] == [PUSH, PUSH]


@pytest.mark.parametrize("body", [b"{broken", b"[]", b'{"streams":[{"values":[["1"]]}]}', b'{"streams":[]}'])
async def test_the_log_store_refuses_what_it_cannot_read_but_keeps_it(aiohttp_client, body):
    sink = Sink("logs")
    client = await aiohttp_client(log_store(sink))
    assert (await client.post("/loki/api/v1/push", data=body)).status == 400
    assert [record.body for record in sink.records] == [body]


async def test_the_search_store_takes_documents_and_bulks(aiohttp_client):
    client = await aiohttp_client(search_store(Sink("search")))
    answer = await client.post("/orders/_doc", json={"order_id": "R-1"})
    assert (answer.status, (await answer.json())["_index"]) == (201, "orders")
    bulk = b'{"index":{"_index":"orders"}}\n{"order_id":"R-2"}\n'
    answer = await client.post("/_bulk", data=bulk, headers={"Content-Type": "application/x-ndjson"})
    assert await answer.json() == {
        "took": 1,
        "errors": False,
        "items": [{"index": {"_index": "orders", "status": 201}}],
    }


@pytest.mark.parametrize("path", ["/orders/_doc", "/_bulk"])
async def test_the_search_store_refuses_broken_json_in_its_own_words(aiohttp_client, path):
    client = await aiohttp_client(search_store(Sink("search")))
    answer = await client.post(path, data=b"{broken\n")
    assert (answer.status, (await answer.json())["error"]["type"]) == (400, "mapper_parsing_exception")


async def test_the_session_store_gives_back_what_it_got(aiohttp_client):
    client = await aiohttp_client(session_store(Sink("sessions")))
    assert (await client.get("/sessions/s-1")).status == 404
    assert (await client.put("/sessions/s-1", data=b'{"cart":[]}')).status == 204
    assert await (await client.get("/sessions/s-1")).read() == b'{"cart":[]}'


async def test_a_record_holds_the_line_and_the_headers_too(aiohttp_client):
    sink = Sink("sessions")
    client = await aiohttp_client(session_store(sink))
    await client.get("/sessions/s-1?note=a%26b", headers={"X-Note": "kept"})
    (record,) = sink.records
    assert record.line.startswith(b"GET /sessions/s-1?note=a%26b\n")
    assert b"X-Note: kept" in record.data
    assert "note" not in repr(record)
