"""requests."""

from __future__ import annotations

import gzip

import pytest
import requests

from tests.e2e.clients.exchanges import ASKED, Reply, assert_redacted, assert_refused, assert_unharmed, csv, order
from tests.e2e.clients.stage import PAN


def send_all(base: str, value: str) -> dict[str, Reply]:
    lines = [line.encode() for line in csv(value).splitlines(keepends=True)]
    octets = {"Content-Type": "application/octet-stream"}
    with requests.Session() as session:
        made = {
            "call/json": session.post(f"{base}/call/json", json=order(value)),
            "call/form": session.post(f"{base}/call/form", data={"CardNo": value, "Method": "1", "name": "山田"}),
            "call/multipart": session.post(
                f"{base}/call/multipart", data={"shop": "1"}, files={"file": ("orders.csv", csv(value), "text/csv")}
            ),
            "call/bytes": session.put(f"{base}/call/bytes", data=csv(value).encode(), headers=octets),
            "call/chunked": session.post(f"{base}/call/chunked", data=iter(lines), headers=octets),
            "call/gzip": session.post(
                f"{base}/call/gzip",
                data=gzip.compress(csv(value).encode(), mtime=0),
                headers={"Content-Encoding": "gzip"},
            ),
            "call/query": session.get(f"{base}/call/query", params={"card_number": value, "page": 2}),
            "call/header": session.get(f"{base}/call/header", headers={"X-Card": value}),
        }
        made |= {f"answer/{name}": session.get(f"{base}/answer/{name}") for name in ASKED}
        return {name: read(answer) for name, answer in made.items()}


def read(answer: requests.Response) -> Reply:
    return Reply(answer.status_code, {name.lower(): value for name, value in answer.headers.items()}, answer.content)


def test_clean(stage):
    assert_unharmed(stage, send_all)


def test_refused(stage):
    assert_refused(stage, send_all)


def test_redacted(stage):
    assert_redacted(stage, send_all)


def test_its_exception_carries_the_problem(stage):
    with pytest.raises(requests.HTTPError, match="403 Client Error: Forbidden") as raised:
        requests.post(stage.url("store"), json=order(PAN), timeout=60).raise_for_status()
    assert raised.value.response.json()["findings"][0]["where"] == "body $.card.number"
