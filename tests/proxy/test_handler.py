from __future__ import annotations

import asyncio
import logging
import threading

from proxy import handler
from tests.e2e.origin import OK, get, origin, post, read_response, status_of
from tests.e2e.plane import ALLOW, PAN, ScriptedGuard, lane, plane, policy, until


async def connect(running):
    return await asyncio.open_connection("127.0.0.1", running.port())


async def the_handler(running):
    await until(lambda: running.host.listeners.connections)
    (only,) = running.host.listeners.connections.values()
    return only


async def test_a_quiet_message_needs_no_task(tmp_path):
    """What the sieve clears is decided where it stands."""
    async with lane(tmp_path) as running:
        reader, writer = await connect(running)
        found = await the_handler(running)
        started = []
        found._settle = started.append
        writer.write(get("/"))
        assert await read_response(reader) == OK
        writer.close()
        assert started == []


async def test_a_layer_that_breaks_closes_the_connection_with_an_answer(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)

    async with lane(tmp_path) as running:
        reader, writer = await connect(running)
        found = await the_handler(running)

        def breaking(event):
            raise AssertionError(f"odd bytes: {PAN}")
            yield event

        writer.write(get("/"))
        async with asyncio.timeout(60):
            assert await read_response(reader) == OK
            found.seat.owes_answer = True
            found.layer.handle_event = breaking
            writer.write(get(f"/{PAN}"))
            assert status_of(await read_response(reader, close=True)) == 503
        writer.close()
        assert running.meter.named("internal_error") == [("handler",)]
        assert PAN not in caplog.text
        assert "AssertionError at " in caplog.text


async def test_a_layer_that_breaks_between_requests_says_nothing(tmp_path):
    async with lane(tmp_path) as running:
        reader, writer = await connect(running)
        found = await the_handler(running)

        def breaking(event):
            raise AssertionError
            yield event

        found.layer.handle_event = breaking
        writer.write(b"GET")
        async with asyncio.timeout(60):
            assert await reader.read() == b""
        writer.close()


async def test_nothing_is_read_while_an_answer_is_pending(tmp_path):
    """Memory stays bounded however long the guard takes and however much the client sends."""
    begun, over = threading.Event(), threading.Event()

    def slowly(_message):
        begun.set()
        over.wait(30)
        return ALLOW

    async with lane(tmp_path, script={"quickly": lambda _: None, "slowly": slowly}) as running:
        reader, writer = await connect(running)
        writer.write(get("/first"))
        assert await asyncio.to_thread(begun.wait, 60)
        writer.write(post("/", b"x" * 20_000_000))
        await asyncio.sleep(0.2)
        found = await the_handler(running)
        assert len(found.layer.connections[found.client].buf) == 0
        assert writer.transport.get_write_buffer_size() > 10_000_000
        over.set()
        async with asyncio.timeout(60):
            assert await read_response(reader) == OK
            assert await read_response(reader) == OK
        writer.close()
        assert [len(request) > 20_000_000 for request in running.origin.requests] == [False, True]


async def test_a_client_that_leaves_while_it_waits(tmp_path):
    """Its request is not forwarded once nobody waits for the answer, and nothing is left behind."""
    begun, over = threading.Event(), threading.Event()

    def slowly(_message):
        begun.set()
        over.wait(30)
        return ALLOW

    async with lane(tmp_path, script={"quickly": lambda _: None, "slowly": slowly}) as running:
        _, writer = await connect(running)
        writer.write(get("/first"))
        assert await asyncio.to_thread(begun.wait, 60)
        found = await the_handler(running)
        writer.transport.abort()
        found.cut()
        await until(lambda: not running.host.listeners.connections)
        over.set()
        await until(lambda: not found._tasks)
        assert running.origin.connections == 0


async def test_an_upstream_that_never_accepts(tmp_path, monkeypatch):
    """A full backlog: the kernel answers nothing."""
    monkeypatch.setattr(handler, "CONNECT_SECONDS", 0.2)
    with await asyncio.to_thread(_full) as full:
        guard = ScriptedGuard(policy(tmp_path, {"upstream": f"http://127.0.0.1:{full.port}"}))
        async with plane(guard) as running:
            assert status_of(await running.ask(get("/"), seconds=60)) == 502
            assert running.meter.named("upstream_error") == [("lane", "timeout")]


class _full:  # noqa: N801 - a fixture
    """A listening socket whose backlog is taken."""

    def __init__(self):
        import socket

        self.server = socket.socket()
        self.server.bind(("127.0.0.1", 0))
        self.server.listen(0)
        self.port = self.server.getsockname()[1]
        self.clients = []
        for _ in range(4):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", self.port))
            self.clients.append(client)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for one in (*self.clients, self.server):
            one.close()


async def test_an_upstream_that_never_finishes_its_handshake(tmp_path, monkeypatch):
    monkeypatch.setattr(handler, "CONNECT_SECONDS", 0.2)
    async with origin() as server:
        guard = ScriptedGuard(policy(tmp_path, {"upstream": f"https://127.0.0.1:{server.port}"}))
        async with plane(guard) as running:
            assert status_of(await running.ask(get("/"), seconds=60)) == 502


async def test_a_slow_upstream_is_not_a_dead_one(tmp_path, monkeypatch):
    """The deadline is for connecting: an answer may take longer."""
    monkeypatch.setattr(handler, "CONNECT_SECONDS", 0.5)

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.7)
        writer.write(OK)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    guard = ScriptedGuard(policy(tmp_path, {"upstream": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"}))
    async with plane(guard) as running:
        assert await running.ask(get("/")) == OK
    server.close()
    await server.wait_closed()


async def test_an_upstream_that_never_answers(tmp_path):
    """The idle timeout ends with an answer."""
    async with lane(tmp_path, lambda _: b"") as running:
        running.host.snapshot.tcp_timeout = 0.2
        response = await running.ask(get("/"), seconds=60)
        assert status_of(response) == 504


async def test_an_idle_connection_is_closed_without_a_word(tmp_path):
    async with lane(tmp_path) as running:
        running.host.snapshot.tcp_timeout = 0.2
        reader, writer = await connect(running)
        async with asyncio.timeout(60):
            assert await reader.read() == b""
        writer.close()
