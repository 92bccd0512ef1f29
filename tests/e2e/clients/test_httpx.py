"""httpx, over HTTP/1.1."""

from __future__ import annotations

import gzip

import httpx
import pytest

from tests.e2e.clients.exchanges import ASKED, Reply, assert_redacted, assert_refused, assert_unharmed, csv, order
from tests.e2e.clients.stage import PAN


def send_all(base: str, value: str) -> dict[str, Reply]:
    lines = [line.encode() for line in csv(value).splitlines(keepends=True)]
    octets = {"Content-Type": "application/octet-stream"}
    with httpx.Client(base_url=base, timeout=20, follow_redirects=True) as client:
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
        httpx.post(stage.url("store"), json=order(PAN), timeout=20).raise_for_status()
    assert raised.value.response.json()["findings"][0]["where"] == "body $.card.number"
