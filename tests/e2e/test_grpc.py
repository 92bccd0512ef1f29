"""gRPC's own client and server, with a lane between them."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import grpc
import grpc.aio
import pytest

from tests.e2e.plane import ALLOW, PAN, ScriptedGuard, plane, policy, until

TEXT = "shop.Notes"
LEAK = b"card " + PAN.encode()


class Notes:
    """A server of byte messages that keeps what it receives and answers in kind."""

    def __init__(self):
        self.received = []
        self.server = grpc.aio.server()
        handlers = {
            "Unary": grpc.unary_unary_rpc_method_handler(self.unary),
            "Collect": grpc.stream_unary_rpc_method_handler(self.collect),
            "Spread": grpc.unary_stream_rpc_method_handler(self.spread),
            "Talk": grpc.stream_stream_rpc_method_handler(self.talk),
            "Greet": grpc.stream_stream_rpc_method_handler(self.greet),
            "Enough": grpc.stream_stream_rpc_method_handler(self.enough),
        }
        self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(TEXT, handlers),))
        self.port = self.server.add_insecure_port("127.0.0.1:0")

    async def unary(self, request, context):
        self.received.append(request)
        context.set_trailing_metadata((("x-kept", str(len(request))),))
        if request == b"trail":
            context.set_trailing_metadata((("x-card", PAN),))
        if request == b"fail":
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such note")
        return PAN.encode() if request == b"leak" else b"re: " + request

    async def collect(self, requests, context):
        async for request in requests:
            self.received.append(request)
        return b"%d" % len(self.received)

    async def spread(self, request, context):
        self.received.append(request)
        for number in range(3):
            yield b"%s %d" % (request, number) if (request, number) != (b"leak", 1) else LEAK

    async def talk(self, requests, context):
        async for request in requests:
            self.received.append(request)
            yield LEAK if request == b"leak" else b"re: " + request

    async def greet(self, requests, context):
        yield b"hello"
        async for request in requests:
            yield b"re: " + request

    async def enough(self, requests, context):
        await anext(requests)
        yield b"enough"


@asynccontextmanager
async def notes(base, *, script=None, **options):
    """A running server behind a lane, and a channel through it."""
    top = {name: options.pop(name) for name in ("mode", "limits") if name in options}
    server = Notes()
    await server.server.start()
    guard = ScriptedGuard(
        policy(base, {"upstream": f"http://127.0.0.1:{server.port}", **options}, **top), **(script or {})
    )
    try:
        async with plane(guard) as running, grpc.aio.insecure_channel(f"127.0.0.1:{running.port()}") as channel:
            yield running, server, channel
    finally:
        await server.server.stop(0)


async def test_a_unary_call(tmp_path):
    async with notes(tmp_path) as (running, server, channel):
        call = channel.unary_unary(f"/{TEXT}/Unary")(b"hello", timeout=60)
        assert await call == b"re: hello"
        assert ("x-kept", "5") in tuple(await call.trailing_metadata())
        assert server.received == [b"hello"]
        assert running.meter.named("internal_error") == []


async def test_an_error_of_the_server_stays_its_own(tmp_path):
    async with notes(tmp_path) as (_, _server, channel):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await channel.unary_unary(f"/{TEXT}/Unary")(b"fail", timeout=60)
        assert (error.value.code(), error.value.details()) == (grpc.StatusCode.NOT_FOUND, "no such note")


async def test_a_leaking_call_is_refused_as_grpc(tmp_path):
    async with notes(tmp_path) as (running, server, channel):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await channel.unary_unary(f"/{TEXT}/Unary")(PAN.encode(), timeout=60)
        assert error.value.code() is grpc.StatusCode.PERMISSION_DENIED
        assert "blocked." in error.value.details()
        assert server.received == []
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await channel.unary_unary(f"/{TEXT}/Unary")(b"leak", timeout=60)
        assert error.value.code() is grpc.StatusCode.PERMISSION_DENIED
        assert await channel.unary_unary(f"/{TEXT}/Unary")(b"next", timeout=60) == b"re: next"
        assert running.meter.named("internal_error") == []


async def test_a_server_that_is_not_there(tmp_path):
    async with notes(tmp_path) as (_, server, channel):
        await server.server.stop(0)
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await channel.unary_unary(f"/{TEXT}/Unary")(b"hello", timeout=60)
        assert error.value.code() is grpc.StatusCode.UNAVAILABLE


# Streams.


async def test_a_client_that_streams(tmp_path):
    async with notes(tmp_path) as (_, server, channel):

        async def several():
            for number in range(3):
                yield b"%d" % number

        assert await channel.stream_unary(f"/{TEXT}/Collect")(several(), timeout=60) == b"3"
        assert server.received == [b"0", b"1", b"2"]


async def test_a_server_that_streams(tmp_path):
    async with notes(tmp_path) as (_, _server, channel):
        call = channel.unary_stream(f"/{TEXT}/Spread")(b"x", timeout=60)
        assert [message async for message in call] == [b"x 0", b"x 1", b"x 2"]


async def test_both_sides_take_turns(tmp_path):
    """Each waits for the other's message before it says the next."""
    async with notes(tmp_path) as (running, _server, channel):
        call = channel.stream_stream(f"/{TEXT}/Talk")(timeout=60)
        for number in range(20):
            await call.write(b"%d" % number)
            assert await call.read() == b"re: %d" % number
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK
        assert running.meter.named("internal_error") == []


async def test_a_server_that_speaks_first(tmp_path):
    async with notes(tmp_path) as (_, _server, channel):
        call = channel.stream_stream(f"/{TEXT}/Greet")(timeout=60)
        assert await call.read() == b"hello"
        await call.write(b"bye")
        await call.done_writing()
        assert await call.read() == b"re: bye"


async def test_a_server_that_has_heard_enough(tmp_path):
    """It ends the call although its client goes on."""
    async with notes(tmp_path) as (running, _server, channel):
        call = channel.stream_stream(f"/{TEXT}/Enough")(timeout=60)
        await call.write(b"one")
        assert await call.read() == b"enough"
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK
        await until(lambda: not streams(running))


async def test_a_client_that_cancels(tmp_path):
    async with notes(tmp_path) as (running, _server, channel):
        call = channel.stream_stream(f"/{TEXT}/Talk")(timeout=60)
        await call.write(b"one")
        assert await call.read() == b"re: one"
        call.cancel()
        await until(lambda: not streams(running))


def streams(running):
    return [stream for handler in running.host.listeners.connections.values() for stream in handler.layer.streams]


async def test_a_leak_in_the_midst_of_what_a_client_streams(tmp_path):
    async with notes(tmp_path) as (running, server, channel):
        call = channel.stream_unary(f"/{TEXT}/Collect")(timeout=60)
        await call.write(b"clean")
        await until(lambda: server.received)
        await call.write(LEAK)
        assert await call.code() is grpc.StatusCode.PERMISSION_DENIED
        assert server.received == [b"clean"]
        assert await channel.unary_unary(f"/{TEXT}/Unary")(b"next", timeout=60) == b"re: next"
        assert running.meter.named("internal_error") == []


async def test_a_leak_in_the_midst_of_what_a_server_streams(tmp_path):
    async with notes(tmp_path) as (running, _server, channel):
        call = channel.unary_stream(f"/{TEXT}/Spread")(b"leak", timeout=60)
        assert await call.read() == b"leak 0"
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await call.read()
        assert error.value.code() is grpc.StatusCode.PERMISSION_DENIED
        assert "blocked." in error.value.details()
        assert running.meter.named("internal_error") == []


@pytest.mark.parametrize("side", ["client", "server"])
async def test_a_leak_in_the_midst_of_a_talk(tmp_path, side):
    async with notes(tmp_path) as (_, server, channel):
        call = channel.stream_stream(f"/{TEXT}/Talk")(timeout=60)
        other = channel.stream_stream(f"/{TEXT}/Talk")(timeout=60)
        for each in (call, other):
            await each.write(b"one")
            assert await each.read() == b"re: one"
        await call.write(LEAK if side == "client" else b"leak")
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await call.read()
        assert error.value.code() is grpc.StatusCode.PERMISSION_DENIED
        assert LEAK not in server.received
        await other.write(b"two")
        assert await other.read() == b"re: two"
        await other.done_writing()
        assert await other.read() is grpc.aio.EOF


async def test_a_redacting_lane_edits_each_message(tmp_path):
    """All of them arrive, compressed or not in transit."""
    async with notes(tmp_path, on_violation="redact") as (_, server, channel):
        call = channel.stream_stream(f"/{TEXT}/Talk")(timeout=60)
        for message in (b"one", LEAK, b"leak", b"two"):
            await call.write(message)
            await call.read()
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        assert server.received == [b"one", b"card 411111******1111", b"leak", b"two"]


async def test_monitor_mode_lets_all_pass(tmp_path):
    async with notes(tmp_path, mode="monitor") as (running, server, channel):
        call = channel.stream_stream(f"/{TEXT}/Talk")(timeout=60)
        for message in (b"one", LEAK):
            await call.write(message)
            assert await call.read() == b"re: " + message
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        assert server.received == [b"one", LEAK]
        assert "block" not in {verdict for *_, verdict in running.meter.named("message")}


async def test_a_number_in_the_trailing_metadata(tmp_path):
    async with notes(tmp_path) as (_, _server, channel):
        call = channel.unary_unary(f"/{TEXT}/Unary")(b"trail", timeout=60)
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await call
        assert error.value.code() is grpc.StatusCode.PERMISSION_DENIED
        assert PAN not in str(tuple(await call.trailing_metadata()))


@pytest.mark.parametrize("fault", ["crash", "lie"])
async def test_an_inspection_that_fails_in_the_midst_of_a_call(tmp_path, fault):
    def quickly(message):
        return None if any(b"odd" in part.data for part in message.parts) else ALLOW

    def slowly(message):
        if fault == "crash":
            raise ValueError("broken")
        return "fine"

    async with notes(tmp_path, script={"quickly": quickly, "slowly": slowly}) as (running, server, channel):
        call = channel.stream_stream(f"/{TEXT}/Talk")(timeout=60)
        await call.write(b"one")
        assert await call.read() == b"re: one"
        await call.write(b"odd")
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await call.read()
        assert error.value.code() is grpc.StatusCode.UNAVAILABLE
        assert server.received == [b"one"]
        assert running.guard.failures


async def test_a_long_talk_takes_as_long_as_it_likes(tmp_path):
    async with notes(tmp_path, limits={"body_seconds": 0.5}) as (_, _server, channel):
        call = channel.stream_stream(f"/{TEXT}/Talk")(timeout=60)
        for number in range(4):
            await call.write(b"%d" % number)
            assert await call.read() == b"re: %d" % number
            await asyncio.sleep(0.2)
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF


async def test_many_calls_at_once(tmp_path):
    async with notes(tmp_path) as (running, server, channel):
        unary = channel.unary_unary(f"/{TEXT}/Unary")
        bodies = [b"n%d" % number for number in range(200)]
        assert await asyncio.gather(*[unary(body, timeout=60) for body in bodies]) == [b"re: " + b for b in bodies]
        assert sorted(server.received) == sorted(bodies)
        assert running.meter.named("internal_error") == []
