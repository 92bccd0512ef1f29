from __future__ import annotations

import asyncio
import ssl

import pytest

from tests.e2e.authority import authority, server_context
from tests.e2e.origin import OK, get, origin, post, read_response, status_of
from tests.e2e.plane import PAN, ScriptedGuard, lane, plane, policy, until

CLOSING = b"HTTP/1.1 200 OK\r\nConnection: close\r\ncontent-length: 2\r\n\r\nok"


async def several(port, *requests):
    """The answers to requests sent one after the other on one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answers = []
    async with asyncio.timeout(60):
        for request in requests:
            writer.write(request)
            answers.append(await read_response(reader))
    writer.close()
    return answers


async def test_one_upstream_connection_for_many_requests(tmp_path):
    async with lane(tmp_path) as running:
        assert await several(running.port(), *[get("/")] * 5) == [OK] * 5
        assert running.origin.connections == 1


async def test_no_upstream_connection_before_the_first_request_that_passes(tmp_path):
    async with lane(tmp_path) as running:
        answers = await several(running.port(), post("/", PAN.encode()), post("/", PAN.encode()))
        assert [status_of(answer) for answer in answers] == [403, 403]
        assert running.origin.connections == 0


async def test_an_upstream_that_closes_each_time(tmp_path):
    """The client's connection ends with the upstream's word; nothing is left over in between."""
    async with lane(tmp_path, CLOSING) as running:
        for _ in range(3):
            assert await running.ask(get("/"), close=True) == CLOSING
        assert running.origin.connections == 3
        assert running.meter.named("internal_error") == []


async def test_an_upstream_that_closes_while_idle(tmp_path):
    """Without a word: the next request gets a new connection."""
    closed = asyncio.Event()

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await writer.drain()
        writer.close()
        closed.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    guard = ScriptedGuard(policy(tmp_path, {"upstream": f"http://127.0.0.1:{port}"}))
    async with plane(guard) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port())
        async with asyncio.timeout(60):
            for _ in range(3):
                closed.clear()
                writer.write(get("/"))
                assert await read_response(reader) == OK
                await closed.wait()
                (handler,) = running.host.listeners.connections.values()
                await until(lambda found=handler: len(found.transports) == 1)
        writer.close()
        assert len(handler.layer.connections) <= 2
    server.close()


async def test_the_forward_lane_keeps_one_upstream_at_a_time(tmp_path):
    guard = ScriptedGuard(
        policy(tmp_path, {"upstream": "forward", "destinations": [{"hosts": ["127.0.0.1"], "role": "logging"}]})
    )
    async with origin() as one, origin() as two, plane(guard) as running:

        def to(server):
            return f"GET {server.url}/ HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode()

        reader, writer = await asyncio.open_connection("127.0.0.1", running.port())
        async with asyncio.timeout(60):
            for server in (one, two, one, two):
                writer.write(to(server))
                assert await read_response(reader) == OK
                (handler,) = running.host.listeners.connections.values()
        assert len(handler.transports) <= 3
        writer.close()
        assert (len(one.requests), len(two.requests)) == (2, 2)
        assert running.meter.named("internal_error") == []


# CONNECT.


def forward(base, **options):
    row = {"upstream": "forward", "destinations": [{"hosts": ["127.0.0.1"], "role": "logging"}], **options}
    mode = {"mode": row.pop("mode")} if "mode" in row else {}
    return ScriptedGuard(policy(base, row, **mode))


async def tunnel(running, port, host="127.0.0.1"):
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port())
    writer.write(f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
    async with asyncio.timeout(60):
        return await reader.readuntil(b"\r\n\r\n"), reader, writer


async def test_connect_without_an_authority_is_refused(tmp_path):
    """What cannot be inspected may not pass."""
    async with origin() as server, plane(forward(tmp_path)) as running:
        head, _, writer = await tunnel(running, server.port)
        writer.close()
        assert status_of(head) == 501
        assert b"problem+json" in head
        assert server.connections == 0
        assert [message.gap for message in running.guard.asked] == ["encrypted"]


async def test_connect_to_an_unlisted_destination_is_refused(tmp_path):
    _, private = authority(tmp_path)
    guard = forward(tmp_path, tls={"intercept_ca_file": str(private)})
    async with origin() as server, plane(guard) as running:
        head, _, writer = await tunnel(running, server.port, "localhost")
        writer.close()
        assert status_of(head) == 403
        assert server.connections == 0


async def test_connect_in_monitor_mode_passes_and_is_recorded(tmp_path):
    async with origin() as server, plane(forward(tmp_path, mode="monitor")) as running:
        head, reader, writer = await tunnel(running, server.port)
        assert head == b"HTTP/1.1 200 Connection established\r\n\r\n"
        async with asyncio.timeout(60):
            writer.write(get("/"))
            assert await read_response(reader) == OK
        writer.close()
        assert [message.gap for message in running.guard.asked] == ["encrypted"]


@pytest.fixture
def intercepting(tmp_path):
    """A guard of a forward lane that reads TLS, a TLS origin it trusts, and a client context that trusts the lane."""
    public, private = authority(tmp_path)
    guard = forward(tmp_path, tls={"intercept_ca_file": str(private), "ca_file": str(public)})
    client = ssl.create_default_context(cafile=public)
    client.set_alpn_protocols(["http/1.1"])
    return guard, server_context(tmp_path, "127.0.0.1"), client


async def test_inside_a_tunnel_everything_is_inspected(intercepting):
    guard, server_tls, client_tls = intercepting
    async with origin(tls=server_tls) as server, plane(guard) as running:
        head, reader, writer = await tunnel(running, server.port)
        assert status_of(head) == 200
        async with asyncio.timeout(60):
            await writer.start_tls(client_tls, server_hostname="127.0.0.1")
            assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
            for _ in range(2):
                writer.write(get("/a"))
                assert await read_response(reader) == OK
            writer.write(post("/b", PAN.encode()))
            assert status_of(await read_response(reader)) == 403
            writer.write(get("/c"))
            assert await read_response(reader) == OK
        writer.close()
        assert [request.split()[1] for request in server.requests] == [b"/a", b"/a", b"/c"]
        assert {(message.host, message.port) for message in guard.asked} == {("127.0.0.1", server.port)}
        assert running.meter.named("internal_error") == []


async def test_inside_a_tunnel_the_host_header_has_no_say(intercepting):
    """The bytes go where CONNECT said, and none of those that claim to be for somebody else."""
    guard, server_tls, client_tls = intercepting
    async with origin(tls=server_tls) as server, plane(guard) as running:
        _, reader, writer = await tunnel(running, server.port)
        async with asyncio.timeout(60):
            await writer.start_tls(client_tls, server_hostname="127.0.0.1")
            writer.write(get("/", host=f"127.0.0.1:{server.port}"))
            assert await read_response(reader) == OK
            writer.write(get("/", host="elsewhere.example"))
            answer = await read_response(reader)
            assert status_of(answer) == 421
            assert b"Host names another destination than the TLS connection" in answer
        writer.close()
        assert (guard.asked[-1].host, guard.asked[-1].gap) == ("127.0.0.1", "misdirected")
        assert len(server.requests) == 1


async def test_a_tunnel_with_something_else_than_tls_inside(intercepting):
    guard, server_tls, _ = intercepting
    async with origin(tls=server_tls) as server, plane(guard) as running:
        _, reader, writer = await tunnel(running, server.port)
        async with asyncio.timeout(60):
            writer.write(b"SSH-2.0-client " + PAN.encode() + b"\r\n")
            assert await reader.read() == b""
        writer.close()
        assert server.connections == 0
        assert running.meter.named("refused") == [("lane", "cleartext-on-tls")]


async def test_a_client_that_trusts_only_its_own_certificate(intercepting):
    """Pinning: it ends the handshake, and that is counted."""
    guard, server_tls, _ = intercepting
    async with origin(tls=server_tls) as server, plane(guard) as running:
        _, _, writer = await tunnel(running, server.port)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await writer.start_tls(ssl.create_default_context(), server_hostname="127.0.0.1")
        writer.close()
        await until(lambda: running.meter.named("refused"))
        assert running.meter.named("refused") == [("lane", "tls-handshake")]
        assert server.connections == 0


async def test_connect_inside_a_tunnel(intercepting):
    guard, server_tls, client_tls = intercepting
    async with origin(tls=server_tls) as server, plane(guard) as running:
        _, reader, writer = await tunnel(running, server.port)
        async with asyncio.timeout(60):
            await writer.start_tls(client_tls, server_hostname="127.0.0.1")
            writer.write(b"CONNECT other.example:443 HTTP/1.1\r\nHost: other.example:443\r\n\r\n")
            assert status_of(await read_response(reader)) == 405
        writer.close()
        assert server.connections == 0
