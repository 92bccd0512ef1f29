from __future__ import annotations

import asyncio
import logging
import os
import socket

import pytest

from proxy import host
from proxy.host import OPTIONS, Host, StartError
from proxy.http.tls import TlsFileError
from proxy.listener import turn_away
from tests.e2e.authority import authority
from tests.e2e.origin import OK, exchange, get, origin, read_response, status_of
from tests.e2e.plane import ScriptedGuard, lane, plane, policy, until
from tests.proxy.doubles import RecordingMeter


@pytest.fixture
def taken():
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        yield busy.getsockname()[1]


async def test_a_taken_port_names_lane_and_address(tmp_path, taken):
    async with origin() as server:
        rows = [
            {"name": "free", "upstream": server.url},
            {"name": "busy", "upstream": server.url, "listen": f"127.0.0.1:{taken}"},
        ]
        host = Host(ScriptedGuard(policy(tmp_path, *rows)), RecordingMeter())
        with pytest.raises(
            StartError, match=rf"lane busy cannot listen on 127\.0\.0\.1:{taken}: Address already in use"
        ):
            await host.start()
        assert host.addresses == {}
        assert host.listening() == {"free": False, "busy": False}


async def test_an_address_of_another_machine(tmp_path):
    host = Host(
        ScriptedGuard(policy(tmp_path, {"upstream": "http://a:1", "listen": "192.0.2.1:8080"})), RecordingMeter()
    )
    with pytest.raises(StartError, match=r"lane lane cannot listen on 192\.0\.2\.1:8080: Cannot assign"):
        await host.start()


async def test_listening(tmp_path):
    async with lane(tmp_path) as running:
        assert running.host.listening() == {"lane": True}
        assert running.host.addresses["lane"][0] == "127.0.0.1"


async def test_the_hosts_options_are_ours(tmp_path):
    async with lane(tmp_path) as running:
        for name, value in OPTIONS.items():
            assert getattr(running.host.snapshot, name) == value


# Reload.


async def test_reload_changes_the_rules_of_open_connections(tmp_path):
    """The next request on a connection that stays is judged by the new policy."""
    async with lane(tmp_path) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port())
        writer.write(get("/"))
        assert await read_response(reader) == OK
        row = {"upstream": running.origin.url, "on_violation": "redact"}
        await running.host.reload(policy(tmp_path, row))
        writer.write(get("/"))
        assert await read_response(reader) == OK
        writer.close()
        rules = [message.route.on_violation for message in running.guard.asked if message.direction == "request"]
        assert rules == ["block", "redact"]
        assert running.origin.connections == 1
        assert len(running.guard.adopted) == 1


async def test_reload_keeps_listeners_that_stay(tmp_path):
    async with lane(tmp_path) as running:
        address = running.port()
        (before,) = running.host.listeners.servers
        await running.host.reload(policy(tmp_path, {"upstream": running.origin.url, "mode": "monitor"}))
        (after,) = running.host.listeners.servers
        assert (before, address) == (after, running.port())


async def test_reload_adds_and_removes_lanes(tmp_path):
    async with lane(tmp_path) as running, origin() as other:
        old = running.port()
        await running.host.reload(policy(tmp_path, {"name": "new", "upstream": other.url}))
        assert set(running.host.addresses) == {"new"}
        assert await exchange(running.port("new"), get("/")) == OK
        assert other.requests
        with pytest.raises(ConnectionRefusedError):
            await exchange(old, get("/"))


async def test_a_lane_that_leads_elsewhere_now(tmp_path):
    """An open connection is answered once more by its own upstream, and told to go."""
    port = 0
    async with lane(tmp_path) as running, origin(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nnew") as other:
        port = running.port()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(get("/"))
        assert await read_response(reader) == OK
        await running.host.reload(policy(tmp_path, {"upstream": other.url}))
        async with asyncio.timeout(60):
            assert await reader.read() == b""
        writer.close()
        assert (await running.ask(get("/"))).endswith(b"new")


async def test_a_reload_that_cannot_listen_changes_nothing(tmp_path, taken):
    async with lane(tmp_path) as running:
        rows = [
            {"upstream": running.origin.url, "mode": "monitor"},
            {"name": "busy", "upstream": "http://a:1", "listen": f"127.0.0.1:{taken}"},
        ]
        with pytest.raises(StartError, match="busy"):
            await running.host.reload(policy(tmp_path, *rows))
        assert running.guard.adopted == []
        assert running.host.listening() == {"lane": True}
        assert await running.ask(get("/")) == OK
        assert running.guard.asked[0].route.mode == "enforce"


async def test_a_reload_that_cannot_be_recorded_changes_nothing(tmp_path):
    async with lane(tmp_path) as running:

        def refuse(_policy):
            raise OSError("disk full")

        running.guard.adopt = refuse
        with pytest.raises(OSError, match="disk full"):
            await running.host.reload(policy(tmp_path, {"name": "new", "upstream": running.origin.url}))
        assert set(running.host.addresses) == {"lane"}
        assert await running.ask(get("/")) == OK


async def test_a_bad_ca_file_is_found_before_anything_listens(tmp_path):
    ca_file = tmp_path / "ca.pem"
    public, _ = authority(tmp_path)
    ca_file.write_bytes(public.read_bytes())
    rules = policy(tmp_path, {"upstream": "https://a:1", "tls": {"ca_file": str(ca_file)}})
    ca_file.write_bytes(b"gone bad")
    with pytest.raises(TlsFileError, match=r"ca\.pem"):
        Host(ScriptedGuard(rules), RecordingMeter())


# Drain.


async def slow_origin(go_on):
    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        started.set()
        await go_on.wait()
        writer.write(OK)
        await reader.read()
        writer.close()

    started = asyncio.Event()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1], started


async def test_drain_finishes_what_is_under_way(tmp_path):
    go_on = asyncio.Event()
    server, port, started = await slow_origin(go_on)
    async with plane(ScriptedGuard(policy(tmp_path, {"upstream": f"http://127.0.0.1:{port}"}))) as running:
        lane_port = running.port()
        busy, busy_writer = await asyncio.open_connection("127.0.0.1", lane_port)
        idle, idle_writer = await asyncio.open_connection("127.0.0.1", lane_port)
        busy_writer.write(get("/"))
        async with asyncio.timeout(60):
            await started.wait()
            draining = asyncio.create_task(running.host.drain(5))
            assert await idle.read() == b""
            with pytest.raises(ConnectionRefusedError):
                await exchange(lane_port, get("/"))
            assert not draining.done()
            go_on.set()
            response = await busy.read()
            assert status_of(response) == 200
            assert b"connection: close" in response
            await draining
        busy_writer.close()
        idle_writer.close()
    server.close()


async def test_who_has_begun_to_connect_is_served_before_a_listener_closes(tmp_path):
    """Their connections are the kernel's until they are accepted: a socket that closes would reset them."""
    async with lane(tmp_path) as running:
        address = ("127.0.0.1", running.port())
        waiting = [socket.create_connection(address) for _ in range(20)]  # the loop does not run: nobody accepts
        draining = asyncio.create_task(running.host.drain(5))
        for one in waiting:
            one.sendall(get("/"))
        streams = [await asyncio.open_connection(sock=one) for one in waiting]
        async with asyncio.timeout(60):
            answers = [await reader.read() for reader, _ in streams]
            await draining
        assert [status_of(answer) for answer in answers] == [200] * 20
        assert all(b"connection: close" in answer for answer in answers)
        for _, writer in streams:
            writer.close()


async def test_nobody_begins_to_connect_to_a_listener_that_closes(tmp_path):
    """Their first packet is dropped, and they are refused when they try again: none is taken in and then reset."""
    async with lane(tmp_path) as running:
        (server,) = running.host.listeners.servers
        for sock in server._servers[0].sockets:
            turn_away(sock)
        with socket.socket() as late:
            late.settimeout(0.1)
            with pytest.raises(TimeoutError):
                late.connect(("127.0.0.1", running.port()))


async def test_a_kept_connection_that_is_used_is_told_to_close_and_loses_nothing(tmp_path):
    async with lane(tmp_path) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port())
        answers = []
        draining = None
        async with asyncio.timeout(60):
            while not answers or b"connection: close" not in answers[-1]:
                writer.write(get("/"))
                answers.append(await read_response(reader))
                draining = draining or asyncio.create_task(running.host.drain(5))
            assert await reader.read() == b""
            await draining
        assert {status_of(answer) for answer in answers} == {200}
        writer.close()


async def test_a_request_that_is_there_already_is_answered_before_its_connection_is_closed(tmp_path, monkeypatch):
    monkeypatch.setattr(host, "QUIET_SECONDS", 0)
    async with lane(tmp_path) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port())
        writer.write(get("/"))
        assert await read_response(reader) == OK
        (handler,) = running.host.listeners.connections.values()
        assert running.host._is_idle(handler)
        os.write(writer.get_extra_info("socket").fileno(), get("/"))
        assert not running.host._is_idle(handler)
        async with asyncio.timeout(60):
            assert await read_response(reader) == OK
        writer.close()


async def test_a_drain_that_is_hurried_cuts_at_once(tmp_path, caplog):
    go_on, hurry = asyncio.Event(), asyncio.Event()
    server, port, started = await slow_origin(go_on)
    async with plane(ScriptedGuard(policy(tmp_path, {"upstream": f"http://127.0.0.1:{port}"}))) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port())
        writer.write(get("/"))
        async with asyncio.timeout(60):
            await started.wait()
            draining = asyncio.create_task(running.host.drain(3600, hurry))
            await until(lambda: not any(running.host.listening().values()))
            hurry.set()
            await draining
            assert await reader.read() == b""
        writer.close()
        assert "1 connections cut" in caplog.text
    go_on.set()
    server.close()


async def test_drain_cuts_what_takes_too_long(tmp_path, caplog):
    go_on = asyncio.Event()
    server, port, started = await slow_origin(go_on)
    async with plane(ScriptedGuard(policy(tmp_path, {"upstream": f"http://127.0.0.1:{port}"}))) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port())
        writer.write(get("/"))
        async with asyncio.timeout(60):
            await started.wait()
            await running.host.drain(0.1)
            assert await reader.read() == b""
        writer.close()
        assert "1 connections cut" in caplog.text
        assert running.host.listeners.connections == {}
    go_on.set()
    server.close()


async def test_nothing_of_the_hosts_log_is_written(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    async with lane(tmp_path) as running:
        await running.ask(b"secret-garbage\r\n\r\n")
        await running.ask(get("/"))
    assert not [record for record in caplog.records if record.name.startswith("mitmproxy")]
    assert "secret" not in caplog.text
