"""The upstream of a soak: remembers which messages arrived, and searches every byte of them for the numbers sent."""

from __future__ import annotations

import asyncio
import logging
import re
from collections import Counter
from dataclasses import dataclass, field

import grpc
from aiohttp import WSMsgType, web

_RUN = re.compile(rb"(?<![0-9])[0-9]{16}(?![0-9])")
_ID = re.compile(rb"message-[0-9]+")
_TAIL = 64
"""Bytes that are searched again with what follows: longer than any number or id."""


@dataclass
class Sink:
    """What has arrived so far."""

    numbers: frozenset[bytes]
    arrived: Counter[str] = field(default_factory=Counter)
    leaked: Counter[str] = field(default_factory=Counter)
    """By where they came in: the numbers that should not have."""

    def search(self, data: bytes, where: str) -> None:
        """Counts the numbers in ``data``."""
        found = sum(run in self.numbers for run in _RUN.findall(data))
        if found:
            self.leaked[where] += found

    def take(self, data: bytes, where: str) -> None:
        """Remembers one whole message."""
        self.search(data, where)
        self.arrived.update(found.decode() for found in set(_ID.findall(data)))


@dataclass
class Upstream:
    """A running sink."""

    sink: Sink
    http_port: int
    grpc_port: int
    _runner: web.AppRunner
    _grpc: grpc.aio.Server

    async def stop(self) -> None:
        await self._grpc.stop(0)
        await self._runner.cleanup()


async def start(numbers: list[bytes], http_port: int, grpc_port: int) -> Upstream:
    """Serves HTTP/1, WebSockets and gRPC on this loop."""
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # it is offered HTTP/2, which it does not speak
    sink = Sink(frozenset(numbers))
    app = web.Application(client_max_size=0)
    pages = _Pages(sink, numbers)
    app.add_routes([
        web.post("/take", pages.take),
        web.get("/download/{kind}", pages.download),
        web.get("/events/{kind}", pages.events),
        web.get("/socket", pages.socket),
        web.post("/reset", pages.reset),
        web.post("/stall", pages.stall),
        web.post("/cut", pages.cut),
        web.post("/garbage", pages.garbage),
    ])  # fmt: skip
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", http_port).start()
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((_Calls(sink),))
    server.add_insecure_port(f"127.0.0.1:{grpc_port}")
    await server.start()
    return Upstream(sink, http_port, grpc_port, runner, server)


class _Pages:
    def __init__(self, sink: Sink, numbers: list[bytes]) -> None:
        self._sink = sink
        self._numbers = numbers

    async def take(self, request: web.Request) -> web.Response:
        """Reads the body as it comes: what was sent of one that is broken off has arrived, too."""
        kept, tail = bytearray(), str(request.rel_url).encode() + b"\n"
        async for chunk in request.content.iter_any():
            kept += chunk
            self._sink.search(tail + chunk, "body")
            tail = (tail + chunk)[-_TAIL:]
        self._sink.take(bytes(kept), "whole body")
        return web.json_response({"ok": True})

    async def download(self, request: web.Request) -> web.StreamResponse:
        """A row of records, larger than ``limits.body``; the bad kind has a number in the midst of it."""
        leaks = request.match_info["kind"] == "leak"
        response = web.StreamResponse(headers={"Content-Type": "text/csv"})
        await response.prepare(request)
        for row in range(64):
            number = self._numbers[row % len(self._numbers)] if leaks and row == 40 else b"none"
            await response.write(b"row,%d,note,%s,%s\n" % (row, number, b"text " * 400))
        await response.write_eof()
        return response

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events, one after the other."""
        leaks = request.match_info["kind"] == "leak"
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for number in range(8):
            text = self._numbers[0].decode() if leaks and number == 5 else "fine"
            await response.write(f'data: {{"event": {number}, "card": "{text}"}}\n\n'.encode())
            await asyncio.sleep(0.005)
        await response.write_eof()
        return response

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        """Takes messages, and says how many."""
        response = web.WebSocketResponse()
        await response.prepare(request)
        count = 0
        async for message in response:
            if message.type is WSMsgType.TEXT:
                count += 1
                self._sink.take(message.data.encode(), "websocket")
                await response.send_str(f"taken {count}")
        return response

    async def reset(self, request: web.Request) -> web.Response:
        """Ends the connection instead of answering."""
        self._sink.take(await request.read(), "reset")
        if request.transport is not None:
            request.transport.abort()
        return web.Response()

    async def stall(self, request: web.Request) -> web.Response:
        """Takes its time, longer than the client has."""
        self._sink.take(await request.read(), "stall")
        await asyncio.sleep(20)
        return web.Response()

    async def cut(self, request: web.Request) -> web.StreamResponse:
        """Announces more than it sends."""
        self._sink.take(await request.read(), "cut")
        response = web.StreamResponse(headers={"Content-Length": "5000"})
        await response.prepare(request)
        await response.write(b"the beginning")
        if request.transport is not None:
            request.transport.close()
        return response

    async def garbage(self, request: web.Request) -> web.Response:
        """Answers what is no HTTP."""
        self._sink.take(await request.read(), "garbage")
        if request.transport is not None:
            request.transport.write(b"\x00\xff no HTTP at all \r\n\r\n")
            request.transport.close()
        return web.Response()


class _Calls(grpc.GenericRpcHandler):
    """Any method: ``/soak/Take`` with one message, ``/soak/TakeAll`` with many."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        if str(details.method).endswith("TakeAll"):
            return grpc.stream_unary_rpc_method_handler(self._take_all)
        return grpc.unary_unary_rpc_method_handler(self._take)

    async def _take(self, message: bytes, _context: object) -> bytes:
        self._sink.take(message, "gRPC")
        return b"taken"

    async def _take_all(self, messages: object, _context: object) -> bytes:
        async for message in messages:  # type: ignore[attr-defined]
            self._sink.take(message, "gRPC")
        return b"taken"
