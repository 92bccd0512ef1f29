from __future__ import annotations

import asyncio
import errno
import socket
import threading

import pytest
from mitmproxy.proxy.mode_specs import ProxyMode

from proxy import listener
from proxy.addon import Gate
from proxy.addresses import try_bind
from proxy.host import Host, StartError
from proxy.http import seat
from proxy.listener import LaneMode, mode_of
from tests.e2e.origin import OK, get, origin, read_response, status_of
from tests.e2e.plane import GAP, ScriptedGuard, lane, plane, policy, until
from tests.proxy.doubles import RecordingMeter


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_mode_of(tmp_path, host):
    listen = f"[{host}]:8080" if ":" in host else f"{host}:8080"
    (only,) = policy(tmp_path, {"listen": listen, "upstream": "http://loki:3100"}).lanes
    mode = mode_of(only)
    assert (mode.name, mode.listen_host(), mode.listen_port()) == ("lane", host, 8080)


def test_another_upstream_is_another_listener(tmp_path):
    rows = [
        {"listen": "127.0.0.1:8080", "upstream": upstream} for upstream in ("http://a:1", "http://b:1", "http://a:1")
    ]
    one, two, three = (mode_of(policy(tmp_path, row).lanes[0]) for row in rows)
    assert one != two
    assert one == three


@pytest.mark.parametrize("spec", ["lane:@127.0.0.1:1", "lane:=http://a:1@127.0.0.1:1", "lane:a@127.0.0.1:1"])
def test_specs_without_a_lane(spec):
    with pytest.raises(ValueError, match="name=upstream"):
        ProxyMode.parse(spec)


def test_the_spec_is_registered():
    assert isinstance(ProxyMode.parse("lane:a=forward@127.0.0.1:1"), LaneMode)


async def test_several_lanes_at_once(tmp_path):
    async with origin() as one, origin() as two:
        rows = [{"name": "one", "upstream": one.url}, {"name": "two", "upstream": two.url}]
        async with plane(ScriptedGuard(policy(tmp_path, *rows))) as running:
            for name, server in (("one", one), ("two", two)):
                reader, writer = await asyncio.open_connection("127.0.0.1", running.port(name))
                writer.write(get(f"/{name}"))
                assert await read_response(reader) == OK
                writer.close()
                assert server.requests == [get(f"/{name}")]
            assert [message.route.lane for message in running.guard.asked] == ["one", "one", "two", "two"]


@pytest.mark.parametrize("shared", [False, True])
async def test_an_address_is_shared_only_if_it_is_to_be(tmp_path, shared, free_port):
    rules = policy(tmp_path, {"listen": f"127.0.0.1:{free_port()}", "upstream": "http://127.0.0.1:9"})
    one, two = (Host(ScriptedGuard(rules), RecordingMeter(), shared=shared) for _ in range(2))
    await one.start()
    try:
        if shared:
            await two.start()
            assert two.listening() == {"lane": True}
        else:
            with pytest.raises(StartError):
                await two.start()
    finally:
        await one.drain(0)
        await two.drain(0)


async def test_a_full_lane_says_so(tmp_path):
    async with lane(tmp_path, limits={"connections": 2}) as running:
        open_ = []
        for _ in range(2):
            reader, writer = await asyncio.open_connection("127.0.0.1", running.port())
            writer.write(get("/"))
            assert await read_response(reader) == OK
            open_.append(writer)
        response = await running.ask(b"", close=True)
        assert status_of(response) == 503
        assert b"too-many-connections" in response
        open_.pop().close()
        await until(lambda: len(running.host.listeners.connections) == 1)
        assert await running.ask(get("/")) == OK
        open_.pop().close()


async def test_connections_are_counted(tmp_path):
    async with lane(tmp_path) as running:
        await running.ask(get("/"))
    changes = [int(change) for _, change in running.meter.named("connections")]
    assert changes == [1, -1]


TRANSPARENT = {"upstream": "transparent", "unlisted": "external"}


async def test_a_transparent_lane_is_on_both_loopback_addresses_and_counts_quic(tmp_path):
    async with plane(ScriptedGuard(policy(tmp_path, TRANSPARENT))) as running:
        port = running.port()
        for host, family in (("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)):
            reader, writer = await asyncio.open_connection(host, port)
            assert b"not-redirected" in await read_response(reader, close=True)
            writer.close()
            with socket.socket(family, socket.SOCK_DGRAM) as client:
                client.sendto(b"\xc0" + bytes(1199), (host, port))
                await until(lambda: running.guard.asked)
            message = running.guard.asked.pop()
            assert (message.gap, message.protocol, len(message.parts[0].data)) == ("quic", "udp", 1200)
            assert (message.route.lane, message.route.mode, message.route.on_gap) == ("lane", "enforce", "block")
        assert running.meter.named("refused") == [("lane", "not-redirected")] * 2


async def test_a_flood_of_quic_waits_for_its_records(tmp_path, monkeypatch):
    """What there is no time for is not remembered as counted."""
    over = threading.Event()
    script = {"quickly": lambda _: None, "slowly": lambda _: over.wait(5) and GAP}
    monkeypatch.setattr(listener, "MOST_COUNTING", 2)
    async with plane(ScriptedGuard(policy(tmp_path, TRANSPARENT), **script)) as running:
        clients = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(5)]
        for client in clients:
            client.sendto(b"x", ("127.0.0.1", running.port()))
        await until(lambda: len(running.guard.asked) == 2)
        over.set()
        for client in clients:
            client.close()


@pytest.mark.parametrize("broken", ["guard", "gate"])
async def test_quic_whose_record_fails_is_counted_as_that(tmp_path, monkeypatch, broken):
    def fails(*_):
        raise RuntimeError("broken")

    if broken == "gate":
        monkeypatch.setattr(Gate, "opaque", fails)
    script = {"quickly": lambda _: None, "slowly": fails}
    async with plane(ScriptedGuard(policy(tmp_path, TRANSPARENT), **script)) as running:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"x", ("127.0.0.1", running.port()))
        await until(lambda: running.guard.failures)
        assert running.guard.failures == ["worker" if broken == "guard" else "plane"]


async def test_no_half_of_a_transparent_lane_listens(tmp_path, free_port):
    """QUIC's port is taken: then nothing is, and the reason is told."""
    port = free_port()
    rules = policy(tmp_path, {**TRANSPARENT, "listen": f"127.0.0.1:{port}"})
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", port))
        with pytest.raises(StartError, match="in use"):
            await Host(ScriptedGuard(rules), RecordingMeter()).start()
    try_bind("127.0.0.1", port)
    try_bind("::1", port)


@pytest.mark.parametrize("mode", ["enforce", "monitor"])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "127.9.9.9"])
async def test_what_would_come_back_is_refused(tmp_path, monkeypatch, host, mode):
    """Also in monitor mode, which refuses nothing else: it would come back until no descriptors are left."""
    async with plane(ScriptedGuard(policy(tmp_path, TRANSPARENT, mode=mode))) as running:
        monkeypatch.setattr(seat, "original_destination", lambda _: (host, running.port()))
        assert b"local-destination" in await running.ask(get("/"), close=True)
        assert running.meter.named("refused") == [("lane", "local-destination")]


@pytest.mark.parametrize(
    ("row", "mode", "answer"),
    [
        ({"unlisted": "external"}, "enforce", b"local-destination"),
        ({"destinations": [{"hosts": ["127.0.0.1"], "role": "logging"}]}, "enforce", b"ok"),
        ({"unlisted": "external"}, "monitor", b"ok"),
    ],
    ids=["unlisted", "listed", "monitor"],
)
async def test_this_machine_is_reached_where_it_is_listed(tmp_path, monkeypatch, row, mode, answer):
    async with origin() as server:
        rules = policy(tmp_path, {"upstream": "transparent", **row}, mode=mode)
        monkeypatch.setattr(seat, "original_destination", lambda _: ("127.0.0.1", server.port))
        async with plane(ScriptedGuard(rules)) as running:
            assert answer in await running.ask(get("/"))


async def test_a_client_that_is_turned_down_and_stays_is_let_go(tmp_path, monkeypatch):
    monkeypatch.setattr(listener, "LINGER_SECONDS", 0.05)
    async with plane(ScriptedGuard(policy(tmp_path, TRANSPARENT))) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port())
        assert b"not-redirected" in await read_response(reader, close=True)
        await until(lambda: [int(change) for _, change in running.meter.named("connections")] == [1, -1])
        writer.close()


@pytest.mark.parametrize(
    ("error", "starts"),
    [
        (OSError(errno.EADDRNOTAVAIL, "x"), True),
        (OSError(errno.EAFNOSUPPORT, "x"), True),
        (OSError(errno.EADDRINUSE, "x"), False),
    ],
)
async def test_a_machine_without_ipv6_has_half_of_the_lane(tmp_path, monkeypatch, error, starts):
    start_server = asyncio.start_server

    async def only_ipv4(serve, host, *arguments, **options):
        if host == "::1":
            raise error
        return await start_server(serve, host, *arguments, **options)

    monkeypatch.setattr(asyncio, "start_server", only_ipv4)
    host = Host(ScriptedGuard(policy(tmp_path, TRANSPARENT)), RecordingMeter())
    if starts:
        await host.start()
        assert host.listening() == {"lane": True}
    else:
        with pytest.raises(StartError):
            await host.start()
    await host.drain(0)
