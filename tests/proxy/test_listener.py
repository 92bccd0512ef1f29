from __future__ import annotations

import asyncio

import pytest
from mitmproxy.proxy.mode_specs import ProxyMode

from proxy.host import Host, StartError
from proxy.listener import LaneMode, mode_of
from proxy.metrics import RecordingMeter
from tests.e2e.origin import OK, get, origin, read_response, status_of
from tests.e2e.plane import ScriptedGuard, lane, plane, policy, until


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
