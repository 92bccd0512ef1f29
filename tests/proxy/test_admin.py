from __future__ import annotations

import asyncio
import socket

import aiohttp
import pytest

from proxy import admin
from proxy.admin import LISTENING, PASSED, AdminError, Readiness, admin_app, host_of, serve_admin
from proxy.metrics.meter import PrometheusMeter

METER = PrometheusMeter(version="1.2.3")
PAN = "4111111111111111"
READY = Readiness({"app-logs": LISTENING, "gmo": LISTENING}, PASSED)


class Server:
    """A running admin server whose readiness a test may change."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.readiness = READY

    async def ask(self):
        return self.readiness


async def ready():
    return READY


async def render(accept):
    return METER.render(accept)


@pytest.fixture
async def server(free_port):
    port = free_port()
    state = Server(port)
    runner = await serve_admin(admin_app(render=render, readiness=state.ask, host="127.0.0.1"), "127.0.0.1", port)
    yield state
    await runner.cleanup()


@pytest.fixture
async def client():
    async with aiohttp.ClientSession() as session:
        yield session


async def test_healthz(server, client):
    async with client.get(f"{server.url}/healthz") as answer:
        assert (answer.status, await answer.text()) == (200, "ok\n")


async def test_metrics_in_prometheus_text(server, client):
    async with client.get(f"{server.url}/metrics") as answer:
        text = await answer.text()
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert 'sekisho_build_info{python="' in text
    assert "# EOF" not in text


async def test_metrics_in_openmetrics_when_asked(server, client):
    accept = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"}
    async with client.get(f"{server.url}/metrics", headers=accept) as answer:
        assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0; charset=utf-8")
        assert (await answer.text()).endswith("# EOF\n")


NOT_READY = [
    ("no lanes yet", Readiness({}, PASSED)),
    ("a lane starting", Readiness({"app-logs": LISTENING, "gmo": "starting"}, PASSED)),
    ("a lane failed", Readiness({"app-logs": "failed: address already in use"}, PASSED)),
    ("self-check not run", Readiness({"app-logs": LISTENING})),
    ("self-check failed", Readiness({"app-logs": LISTENING}, "failed")),
    ("no records", Readiness({"app-logs": LISTENING}, PASSED).recorded("the disk is full", enforces=True)),
]


@pytest.mark.parametrize("state", [row[1] for row in NOT_READY], ids=[row[0] for row in NOT_READY])
async def test_not_ready(server, client, state):
    server.readiness = state
    async with client.get(f"{server.url}/readyz") as answer:
        assert answer.status == 503
        assert await answer.json() == {
            "ready": False,
            "lanes": dict(state.lanes),
            "self_check": state.self_check,
            "probes": dict(state.probes),
            "audit": state.audit,
        }


async def test_ready(server, client):
    async with client.get(f"{server.url}/readyz") as answer:
        assert answer.status == 200
        assert await answer.json() == {
            "ready": True,
            "lanes": {"app-logs": "listening", "gmo": "listening"},
            "self_check": "passed",
            "probes": {},
            "audit": "written",
        }


async def test_where_nothing_is_refused_missing_records_are_told_and_traffic_may_be_sent(server, client):
    server.readiness = Readiness({"app-logs": LISTENING}, PASSED).recorded("the disk is full", enforces=False)
    async with client.get(f"{server.url}/readyz") as answer:
        said = await answer.json()
        assert (answer.status, said["ready"], said["audit"]) == (200, True, "the disk is full")


@pytest.mark.parametrize("path", ["/", "/nothing", "/metrics/", "/policy"])
async def test_other_paths_are_not_there(server, client, path):
    async with client.get(server.url + path) as answer:
        assert answer.status == 404


async def test_nothing_can_be_changed(server, client):
    async with client.post(f"{server.url}/metrics", data=b"x") as answer:
        assert answer.status == 405


async def test_answers_are_for_nobody_elses_page(server, client):
    for path in ("/metrics", "/nothing"):
        async with client.get(server.url + path) as answer:
            assert answer.headers["Cache-Control"] == "no-store"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
            assert answer.headers["Server"] == "sekisho"


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("127.0.0.1", 200),
        ("127.0.0.1:9464", 200),
        ("localhost:9464", 200),
        ("LOCALHOST.", 200),
        ("sekisho.localhost", 200),
        ("[::1]:9464", 200),
        ("rebound.example", 421),
        ("rebound.example:9464", 421),
        ("localhost.example", 421),
        ("127.0.0.1.example", 421),
        ("10.0.0.1", 421),
        ("0.0.0.0", 421),
    ],
)
async def test_a_name_that_was_pointed_here_is_refused(server, client, name, status):
    async with client.get(f"{server.url}/metrics", headers={"Host": name}) as answer:
        assert answer.status == status
        assert ("sekisho_" in await answer.text()) == (status == 200)


async def test_off_loopback_any_name_is_served(client, free_port):
    port = free_port()
    app = admin_app(render=render, readiness=ready, host="0.0.0.0")
    runner = await serve_admin(app, "127.0.0.1", port)
    try:
        async with client.get(f"http://127.0.0.1:{port}/healthz", headers={"Host": "sekisho.monitoring.svc"}) as answer:
            assert answer.status == 200
    finally:
        await runner.cleanup()


async def test_a_taken_port_is_named(free_port):
    port = free_port()
    app = admin_app(render=render, readiness=ready, host="127.0.0.1")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        with pytest.raises(AdminError) as raised:
            await serve_admin(app, "127.0.0.1", port)
    assert str(raised.value) == (
        f"the admin server (admin.listen) cannot listen on 127.0.0.1:{port}: "
        "Address already in use: stop what listens there, or choose another address"
    )
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]


async def test_an_address_of_another_machine_is_named(free_port):
    app = admin_app(render=render, readiness=ready, host="192.0.2.1")
    with pytest.raises(AdminError, match=r"cannot listen on 192\.0\.2\.1:\d+: Cannot assign requested address"):
        await serve_admin(app, "192.0.2.1", free_port())


async def test_a_readiness_that_crashes_is_not_ready(server, client):
    server.readiness = None
    async with client.get(f"{server.url}/readyz") as answer:
        assert answer.status == 500


class Quoting:
    """A readiness whose failure quotes a card number."""

    @property
    def ready(self):
        raise ValueError(f"not {PAN}")


@pytest.mark.parametrize(
    ("sent", "logged"),
    [
        (b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n", ["admin failed: ValueError at test_admin.py:"]),
        (b"%b / HTTP/1.1\r\n\r\n", []),
        (b"GET / HTTP/1.1\r\n%b\r\n\r\n", []),
        (b"GET http://[%b]:99999/ HTTP/1.1\r\n\r\n", []),
    ],
    ids=["failure", "method", "header", "url"],
)
async def test_the_log_does_not_quote_what_was_asked(server, caplog, sent, logged):
    server.readiness = Quoting()
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
    writer.write(sent.replace(b"%b", PAN.encode()))
    async with asyncio.timeout(60):
        assert (await reader.read()).split()[1] in (b"400", b"500")
    writer.close()
    await writer.wait_closed()
    assert [text[: len(logged[0])] for text in caplog.messages] == logged
    assert PAN not in caplog.text


async def test_who_asks_nothing_is_not_waited_for(free_port, monkeypatch):
    monkeypatch.setattr(admin, "IDLE_SECONDS", 0.01)
    port = free_port()
    runner = await serve_admin(admin_app(render=render, readiness=ready, host="127.0.0.1"), "127.0.0.1", port)
    try:
        for begun in (b"", b"GET /healthz HTTP/1.1\r\nHost: loc"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(begun)
            async with asyncio.timeout(60):
                assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("authority", "host"), [("a", "a"), ("a:1", "a"), ("[::1]", "::1"), ("[::1]:1", "::1"), ("", "")]
)
def test_host_of(authority, host):
    assert host_of(authority) == host
