from __future__ import annotations

import asyncio
import base64
import json
import re

import aiohttp
import pytest

from proxy.admin import LISTENING, PASSED, Readiness, admin_app, serve_admin
from proxy.page.server import ASSETS, STREAMS, Page, Shown
from proxy.records.recent import Recent
from proxy.texts import TEXTS
from tests.proxy.page_records import IDS, found, policy, record
from tests.published_numbers import card_numbers_in

TOKEN = b"a token of thirty-two bytes, no less"
MARKUP = "$['<img src=x onerror=alert(1)>\"&']"
UNREADABLE = "$['\ud800']"


class Server:
    """A running admin server with the page; ``add`` writes a record."""

    def __init__(self, base, port: int, token: bytes, host: str) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.recent = Recent()
        self.readiness = Readiness({"app-logs": LISTENING, "gmo": LISTENING, "egress": LISTENING}, PASSED)
        self._policy = policy(base)
        self.app = admin_app(render=self.render, readiness=self.ask, host=host)
        shown = Shown(lambda: self._policy, self.ask, self.counts, self.recent)
        Page(shown, token=token, local=host == "127.0.0.1").add_to(self.app)

    async def ask(self):
        return self.readiness

    async def counts(self):
        return {}

    async def render(self, accept):
        return b"# EOF\n", "text/plain"

    def add(self, *records):
        for one in records:
            self.recent.add(one["seq"], one["id"], json.dumps(one).encode() + b"\n")


@pytest.fixture
async def start(tmp_path, free_port):
    runners = []

    async def start(token: bytes = b"", host: str = "127.0.0.1") -> Server:
        port = free_port()
        server = Server(tmp_path, port, token, host)
        runners.append(await serve_admin(server.app, "127.0.0.1", port))
        return server

    yield start
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
async def server(start):
    return await start()


@pytest.fixture
async def client():
    async with aiohttp.ClientSession() as session:
        yield session


async def text_of(client, url: str, status: int = 200, **headers: str) -> str:
    async with client.get(url, headers=headers) as answer:
        assert answer.status == status
        return await answer.text()


RECORDS = (
    record(1, found()),
    record(2, found(entity="SECURITY_CODE", masked="***"), kind="passthrough", lane="gmo", role="payment-gateway"),
    record(3, kind="gap", verdict="report", gaps=[{"part": "body", "reason": "depth", "start": 0, "end": 9}]),
    record(4, kind="failure", gaps=[{"part": "", "reason": "inspect", "start": 0, "end": 0}]),
    record(5, kind="start", lane=""),
    record(6, kind="coverage", lane="", coverage={"lanes": {}}),
)
SHOWN = {1, 2, 3, 4}


def listed(page: str) -> list[int]:
    """Numbers of the records that the page lists, in its order."""
    return [IDS.index(found) for found in re.findall(r'href="/violations/([^?"]{36})\?', page)]


async def test_the_overview_shows_lanes_policy_and_violations(server, client):
    server.add(*RECORDS)
    page = await text_of(client, f"{server.url}/?lang=en")
    assert listed(page) == [4, 3, 2, 1]
    assert "Every lane listens, and no self-probe has failed." in page
    assert "shop &lt;2026&gt; &amp; Co." in page
    assert policy_sha(server) in page
    for name in ("app-logs", "gmo", "egress", "payment-gateway → https://p01.mul-pay.jp:443"):
        assert name in page


def policy_sha(server) -> str:
    return server._policy.sha256


async def test_the_overview_says_that_something_is_wrong(server, client):
    server.readiness = Readiness({"app-logs": "not listening"}, PASSED, {"gmo": "the number was not found"})
    page = await text_of(client, f"{server.url}/")
    assert "Not ready: see the lanes below." in page
    assert '<b class="bad">not listening</b>' in page
    assert '<b class="bad">the number was not found</b>' in page


async def test_the_overview_says_that_records_cannot_be_written(server, client):
    """Also where nothing is refused for it."""
    server.readiness = Readiness({"app-logs": LISTENING}, PASSED).recorded("audit file <a>: full", enforces=False)
    page = await text_of(client, f"{server.url}/")
    assert '<p class="state bad">\nRecords cannot be written: audit file &lt;a&gt;: full\n' in page


@pytest.mark.parametrize(
    ("query", "seqs"),
    [
        ("lane=gmo", [2]),
        ("kind=gap", [3]),
        ("entity=PAN", [1]),
        ("lane=app-logs&kind=retention&entity=PAN", [1]),
        ("lane=&kind=&entity=", [4, 3, 2, 1]),
        ("lane=nothing", []),
        ("kind=start", []),
    ],
)
async def test_filters(server, client, query, seqs):
    server.add(*RECORDS)
    page = await text_of(client, f"{server.url}/?{query}")
    assert listed(page) == seqs
    assert ('id="none" hidden' in page) == bool(seqs)
    for name, value in (pair.split("=") for pair in query.split("&")):
        assert f"{name}={value}" in re.search('data-events="([^"]+)"', page)[1].replace("&amp;", "&")


@pytest.mark.parametrize("seq", sorted(SHOWN))
async def test_each_violation_is_shown_in_full(server, client, seq):
    server.add(*RECORDS)
    page = await text_of(client, f"{server.url}/violations/{IDS[seq]}?lang=en")
    for words in (IDS[seq], "What to do", "127.0.0.1:50000", "POST /loki/api/v1/push"):
        assert words in page


async def test_a_violation_says_where_why_and_what_to_do(server, client):
    server.add(record(1, found("$.card.number", trail=["gzip", "base64"]), request_id="req-77"))
    page = await text_of(client, f"{server.url}/violations/{IDS[1]}?lang=en")
    for words in (
        "<code>$.card.number</code> = <code>************1111</code>",
        "gzip → base64",
        "a field named as a card&#39;s, issuer range of a brand",
        "Leave the field out of what is logged, or log its last four digits only.",
        "path: &#34;$.card.number&#34;",
        "req-77",
    ):
        assert words in page


@pytest.mark.parametrize("seq", [5, 6, 9])
async def test_what_is_no_violation_is_not_there(server, client, seq):
    server.add(*RECORDS)
    page = await text_of(client, f"{server.url}/violations/{IDS[seq]}", 404)
    assert "look for its id in the audit file" in page


async def test_nothing_recorded_becomes_markup(server, client):
    hostile = "<script>alert(1)</script>"
    own = dict.fromkeys(("path", "method", "peer", "destination", "request_id", "traceparent"), hostile)
    gaps = [{"part": hostile, "reason": hostile, "start": 0, "end": 9}]
    trail = [hostile]
    server.add(record(1, found(MARKUP, part=hostile, entity=hostile, brand=hostile, trail=trail), gaps=gaps, **own))
    for path in ("/", f"/violations/{IDS[1]}", f"/?lane={hostile}&kind={hostile}&lang={hostile}"):
        page = await text_of(client, server.url + path)
        assert "<script>alert" not in page
        assert "<img" not in page
        assert len(re.findall("<script", page)) == 1


async def test_half_a_surrogate_pair_is_shown_somehow(server, client):
    server.add(record(1, found(UNREADABLE)))
    for path in ("/", f"/violations/{IDS[1]}"):
        assert "$[&#39;?&#39;]" in await text_of(client, server.url + path)


async def test_japanese(server, client):
    server.add(*RECORDS)
    page = await text_of(client, f"{server.url}/", **{"Accept-Language": "ja,en;q=0.5"})
    assert '<html lang="ja">' in page
    for words in ("レーン", "適用中のポリシー", "最近の違反", "検査不能", "カード番号", "遮断"):
        assert words in page
    page = await text_of(client, f"{server.url}/violations/{IDS[1]}?lang=ja")
    for words in ("対処方法", "その項目をログに出力しない", "判定の根拠", "誤検知の場合"):
        assert words in page
    assert f'href="/violations/{IDS[1]}?lang=en"' in page


async def test_the_page_loads_nothing_from_elsewhere_and_has_no_script_of_its_own(server, client):
    server.add(*RECORDS)
    for path in ("/", f"/violations/{IDS[1]}"):
        async with client.get(server.url + path) as answer:
            page = await answer.text()
            rules = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'; " in rules
        assert "frame-ancestors 'none'" in rules
        assert "unsafe" not in rules
        assert "http" not in rules
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        sources = re.findall(r'(?:src|href|action)="([^"]+)"', page)
        assert [source for source in sources if not source.startswith(("/", "#"))] == []
        assert not re.search(r"\son\w+=|style=|<style|javascript:", page)
        for name in set(re.findall(r'"(/static/[^"]+)"', page)):
            await text_of(client, server.url + name)


async def test_only_known_files_are_served(server, client):
    for name in ("layout.html", "..%2fpage.py", "nothing"):
        await text_of(client, f"{server.url}/static/{name}", 404)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("path", ["/", f"/violations/{IDS[1]}", "/events"])
async def test_nothing_can_be_changed(server, client, method, path):
    async with client.request(method, server.url + path) as answer:
        assert answer.status == 405


PATHS = ("/", f"/violations/{IDS[1]}", "/events", "/static/page.js")
CROSS_SITE = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://[evil]"},
]


@pytest.mark.parametrize("headers", CROSS_SITE)
@pytest.mark.parametrize("path", PATHS)
async def test_cross_site_requests_are_refused(server, client, path, headers):
    server.add(*RECORDS)
    page = await text_of(client, server.url + path, 403, **headers)
    assert f'<a href="{path}">open this page</a>' in page
    assert "app-logs" not in page


async def test_the_pages_own_requests_are_served(server, client):
    server.add(*RECORDS)
    for headers in ({"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {"Origin": server.url}):
        await text_of(client, server.url + "/", **headers)


async def test_a_name_that_was_pointed_here_is_refused(server, client):
    for path in PATHS:
        assert "app-logs" not in await text_of(client, server.url + path, 421, Host="rebound.example")


def basic(password: bytes) -> str:
    return "Basic " + base64.b64encode(b"anyone:" + password).decode()


KEYS = {
    "bearer": (f"Bearer {TOKEN.decode()}", 200),
    "basic": (basic(TOKEN), 200),
    "lower case": (f"bearer {TOKEN.decode()}", 200),
    "none": ("", 401),
    "wrong": ("Bearer wrong", 401),
    "a part": (f"Bearer {TOKEN[:-1].decode()}", 401),
    "wrong password": (basic(b"wrong"), 401),
    "no base64": ("Basic !!!", 401),
    "other scheme": (f"Digest {TOKEN.decode()}", 401),
    "not ascii": ("Bearer é", 401),
}


@pytest.mark.parametrize(("authorization", "status"), KEYS.values(), ids=KEYS)
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
async def test_a_token_is_asked_for(start, client, host, authorization, status):
    server = await start(TOKEN, host)
    server.add(*RECORDS)
    headers = {"Authorization": authorization} if authorization else {}
    for path in ("/", f"/violations/{IDS[1]}", "/static/page.css"):
        async with client.get(server.url + path, headers=headers) as answer:
            assert answer.status == status
            assert answer.headers.get("WWW-Authenticate", "").startswith("Basic ") == (status == 401)
            assert status == 200 or "app-logs" not in await answer.text()


async def test_off_loopback_there_is_no_page_without_a_token(start, client):
    server = await start(host="0.0.0.0")
    server.add(*RECORDS)
    for path in PATHS:
        said = await text_of(client, server.url + path, 403, Authorization="Bearer ")
        assert said.endswith("set admin.token_file in the policy.\n")


async def test_metrics_and_health_need_no_token(start, client):
    server = await start(TOKEN, "0.0.0.0")
    for path in ("/metrics", "/healthz", "/readyz"):
        await text_of(client, server.url + path, **{"Sec-Fetch-Site": "cross-site"})


async def told(answer) -> tuple[int, dict]:
    """The next event of a stream."""
    seq, data = 0, None
    while (line := (await asyncio.wait_for(answer.content.readline(), 30)).decode().rstrip("\n")) or data is None:
        name, _, value = line.partition(": ")
        if name == "id":
            seq = int(value)
        elif name == "data":
            data = json.loads(value)
    return seq, data


async def test_a_new_violation_is_told(server, client):
    server.add(*RECORDS)
    async with client.get(f"{server.url}/events?lang=en") as answer:
        assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        await asyncio.to_thread(server.add, record(7, found(MARKUP)))
        assert await told(answer) == (
            7,
            {
                "href": f"/violations/{IDS[7]}?lang=en",
                "verdict": "block",
                "cells": [
                    "2026-11-22 16:20:07",
                    "app-logs",
                    "retention (保持)",
                    "card number",
                    f"body {MARKUP}",
                    "blocked",
                ],
            },
        )


async def test_only_what_is_asked_for_is_told(server, client):
    async with client.get(f"{server.url}/events?lane=gmo&after=0") as answer:
        server.add(*RECORDS, record(7, found(), lane="gmo"))
        assert [(await told(answer))[0], (await told(answer))[0]] == [2, 7]


@pytest.mark.parametrize(
    ("after", "headers", "first"),
    [
        ("2", {}, 3),
        ("0", {"Last-Event-ID": "3"}, 4),
        ("x", {}, 7),
        ("", {}, 7),
        ("-1", {}, 7),
        ("999", {}, 1),
        ("²", {}, 7),
    ],
)
async def test_nothing_is_missed_after_a_break(server, client, after, headers, first):
    """``999``: the audit file was begun anew since."""
    server.add(*RECORDS)
    async with client.get(f"{server.url}/events", params={"after": after}, headers=headers) as answer:
        server.add(record(7, found()))
        assert (await told(answer))[0] == first


async def test_live_pages_are_bounded_and_end_with_the_server(start, client, monkeypatch):
    monkeypatch.setattr("proxy.page.server.STREAMS", 2)
    server = await start()
    first = await client.get(f"{server.url}/events")
    second = await client.get(f"{server.url}/events")
    await text_of(client, f"{server.url}/events", 503)
    second.close()
    server.add(*RECORDS)  # whoever has gone is noticed when there is something to tell
    await told(first)
    await server.app.shutdown()
    assert await asyncio.wait_for(first.content.read(), 30) is not None
    assert first.content.at_eof()
    assert STREAMS > 2


async def test_a_silent_stream_shows_that_it_lives(server, client, monkeypatch):
    monkeypatch.setattr("proxy.page.server.BEAT_SECONDS", 0.01)
    async with client.get(f"{server.url}/events") as answer:
        for _ in range(3):
            assert await asyncio.wait_for(answer.content.readuntil(b"\n\n"), 30) == b": \n\n"


async def test_no_more_digits_than_the_record_has(server, client):
    server.add(*RECORDS)
    for path in ("/", *(f"/violations/{IDS[seq]}" for seq in SHOWN)):
        page = await text_of(client, server.url + path)
        assert not card_numbers_in(page.replace("-", "x"))
        assert not re.search(r"\d\*+\d", page)


def test_every_text_is_used():
    used = "".join(
        path.read_text() for path in (*ASSETS.iterdir(), *ASSETS.parent.rglob("*.py")) if path.name != "texts.py"
    )
    composed = ("fix", "why", "entity", "verdict", "would", "mode", "state", "probe", "confidence", "direction", "kind")
    columns = ("lane", "state", "mode", "probe", "inspected", "uninspected", "gaps", "covered", "time", "kind", "what")
    columns = {f"page.{name}" for name in (*columns, "where", "done")}
    spare = {name for name in TEXTS if name not in used and name.partition(".")[0] not in composed}
    assert spare <= columns
