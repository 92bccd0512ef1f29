"""Elasticsearch: the official client, bulk and single documents, against a node that keeps what it is sent."""

from __future__ import annotations

import json
from typing import Any

import pytest
from elasticsearch import ApiError, Elasticsearch
from elasticsearch.helpers import bulk

from tests.e2e.clients.stage import MASKED, PAN, Stage

ORDERS = [
    {
        "order_id": f"ROKI-20261122-{n:06}",
        "placed_at": "2026-11-22T09:00:00.123Z",
        "placed_ms": 1763769600123 + n,
        "phone": "090-1234-5678",
        "tracking": "4412-3456-7890",
        "card": {"display": "************4242", "member": "m_9f3b1c"},
    }
    for n in range(20)
]


@pytest.fixture(params=[False, True], ids=["plain", "gzip"])
def connect(request, stage):
    made: list[Elasticsearch] = []

    def connect(lane: str) -> Elasticsearch:
        made.append(
            Elasticsearch(
                stage.url(lane), http_compress=request.param, max_retries=0, api_key="VnVhQ2ZHY0JDZGJrUW0tZTVhT3g6"
            )
        )
        return made[-1]

    yield connect
    for client in made:
        client.close()


def actions(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"_index": "orders", "_id": str(n), "_source": document} for n, document in enumerate(documents)]


def stored(stage: Stage, lane: str) -> list[dict[str, Any]]:
    """The documents that the node would index."""
    lines = [json.loads(line) for line in stage.sinks[lane].only().plain.splitlines()]
    assert [line["index"]["_index"] for line in lines[::2]] == ["orders"] * (len(lines) // 2)
    return lines[1::2]


@pytest.mark.parametrize("lane", ["search", "search-logs"])
def test_bulk_clean(stage, connect, lane):
    assert bulk(connect(lane), actions(ORDERS)) == (len(ORDERS), [])
    assert stored(stage, lane) == ORDERS
    assert stage.records() == []


def test_bulk_leaking_is_redacted_where_logs_are_kept(stage, connect):
    leaking = {**ORDERS[1], "card": {"number": PAN}, "raw": f"card={PAN}&x=1"}
    assert bulk(connect("search-logs"), actions([ORDERS[0], leaking, ORDERS[2]])) == (3, [])
    masked = {**ORDERS[1], "card": {"number": MASKED}, "raw": f"card={MASKED}&x=1"}
    assert stored(stage, "search-logs") == [ORDERS[0], masked, ORDERS[2]]
    assert stage.verdicts("search-logs") == ["redact"]


def test_bulk_leaking_is_refused_where_orders_are_stored(stage, connect):
    leaking = {**ORDERS[1], "card": {"number": PAN}}
    with pytest.raises(ApiError) as raised:
        bulk(connect("search"), actions([ORDERS[0], leaking]))
    assert raised.value.status_code == 403
    assert raised.value.body["findings"][0]["where"].startswith("body [3].$.card.number")
    assert "holds a card number" in str(raised.value)
    assert stage.sinks["search"].received == []
    assert stage.verdicts("search") == ["block"]


def test_single_document_and_search(stage, connect):
    client = connect("search")
    assert client.index(index="orders", id="1", document=ORDERS[0])["result"] == "created"
    hits = client.search(index="orders", query={"match": {"order_id": "ROKI-20261122-000123"}})["hits"]["hits"]
    assert hits[0]["_source"] == {"order_id": "ROKI-20261122-000123"}
    assert [json.loads(received.plain) for received in stage.sinks["search"].received] == [
        ORDERS[0],
        {"query": {"match": {"order_id": "ROKI-20261122-000123"}}},
    ]
    assert stage.records() == []
    with pytest.raises(ApiError) as raised:
        client.search(index="orders", query={"match": {"card": PAN}})
    assert "body $.query.match.card" in str(raised.value.body)
