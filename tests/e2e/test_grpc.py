"""gRPC's own client and server, with a lane between them."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import grpc
import grpc.aio
import pytest

from tests.e2e.plane import PAN, ScriptedGuard, plane, policy

TEXT = "shop.Notes"


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
        }
        self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(TEXT, handlers),))
        self.port = self.server.add_insecure_port("127.0.0.1:0")

    async def unary(self, request, context):
        self.received.append(request)
        context.set_trailing_metadata((("x-kept", str(len(request))),))
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
            yield b"%s %d" % (request, number)

    async def talk(self, requests, context):
        async for request in requests:
            self.received.append(request)
            yield b"re: " + request


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
        call = channel.unary_unary(f"/{TEXT}/Unary")(b"hello", timeout=5)
        assert await call == b"re: hello"
        assert ("x-kept", "5") in tuple(await call.trailing_metadata())
        assert server.received == [b"hello"]
        assert running.meter.named("internal_error") == []


async def test_an_error_of_the_server_stays_its_own(tmp_path):
    async with notes(tmp_path) as (_, _server, channel):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await channel.unary_unary(f"/{TEXT}/Unary")(b"fail", timeout=5)
        assert (error.value.code(), error.value.details()) == (grpc.StatusCode.NOT_FOUND, "no such note")


async def test_a_leaking_call_is_refused_as_grpc(tmp_path):
    async with notes(tmp_path) as (running, server, channel):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await channel.unary_unary(f"/{TEXT}/Unary")(PAN.encode(), timeout=5)
        assert error.value.code() is grpc.StatusCode.PERMISSION_DENIED
        assert "blocked." in error.value.details()
        assert server.received == []
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await channel.unary_unary(f"/{TEXT}/Unary")(b"leak", timeout=5)
        assert error.value.code() is grpc.StatusCode.PERMISSION_DENIED
        assert await channel.unary_unary(f"/{TEXT}/Unary")(b"next", timeout=5) == b"re: next"
        assert running.meter.named("internal_error") == []


async def test_a_server_that_is_not_there(tmp_path):
    async with notes(tmp_path) as (_, server, channel):
        await server.server.stop(0)
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await channel.unary_unary(f"/{TEXT}/Unary")(b"hello", timeout=5)
        assert error.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_messages_of_a_stream_that_ends(tmp_path):
    async with notes(tmp_path) as (_, server, channel):

        async def several():
            for number in range(3):
                yield b"%d" % number

        assert await channel.stream_unary(f"/{TEXT}/Collect")(several(), timeout=5) == b"3"
        call = channel.unary_stream(f"/{TEXT}/Spread")(b"x", timeout=5)
        assert [message async for message in call] == [b"x 0", b"x 1", b"x 2"]
        assert server.received == [b"0", b"1", b"2", b"x"]


async def test_many_calls_at_once(tmp_path):
    async with notes(tmp_path) as (running, server, channel):
        unary = channel.unary_unary(f"/{TEXT}/Unary")
        bodies = [b"n%d" % number for number in range(200)]
        assert await asyncio.gather(*[unary(body, timeout=20) for body in bodies]) == [b"re: " + b for b in bodies]
        assert sorted(server.received) == sorted(bodies)
        assert running.meter.named("internal_error") == []
