"""What a soak sends: clean and leaking messages over every protocol of a lane, and faults of clients and upstreams."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count

import aiohttp
import grpc
import httpx

SECONDS = 30.0
"""What any one exchange may take. A clean message that takes longer is lost."""
UPLOAD_CHUNKS = 40
"""Of 8 KiB each: five times ``limits.body`` of the lane."""


@dataclass
class Tally:
    """What was sent, and what the clients saw of it."""

    sent: Counter[str] = field(default_factory=Counter)
    owed: set[str] = field(default_factory=set)
    """Ids of clean messages that were answered as taken: the sink must have them."""
    refused: Counter[str] = field(default_factory=Counter)
    """Clean messages that were blocked."""
    lost: Counter[str] = field(default_factory=Counter)
    """Clean messages without a good answer."""
    passed: Counter[str] = field(default_factory=Counter)
    """Leaking messages that a client got through, or a number that it was sent."""


Step = Callable[[random.Random], Awaitable[None]]


class Traffic:
    """The clients of one soak."""

    def __init__(self, lanes: dict[str, int], numbers: list[bytes], tally: Tally) -> None:
        """``lanes``: the ports of ``logs`` (blocks), ``redacts`` and ``calls`` (gRPC)."""
        self._ports = lanes
        self._url = f"http://127.0.0.1:{lanes['logs']}"
        self._numbers = numbers
        self._tally = tally
        self._ids = count(1)
        self._one = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=SECONDS))
        self._two = httpx.AsyncClient(http1=False, http2=True, timeout=SECONDS, trust_env=False)
        self._calls = grpc.aio.insecure_channel(f"127.0.0.1:{lanes['calls']}")
        self._steps: list[tuple[int, str, Step]] = [
            (24, "json", lambda dice: self._post("json", self._clean(dice))),
            (6, "json leak", lambda dice: self._post("json leak", self._leak(dice))),
            (5, "gzip", lambda dice: self._post("gzip", self._clean(dice), coding="gzip")),
            (3, "gzip leak", lambda dice: self._post("gzip leak", self._leak(dice), coding="gzip")),
            (5, "form", lambda _: self._form("form", "none")),
            (3, "form leak", lambda dice: self._form("form leak", dice.choice(self._numbers).decode())),
            (3, "redacted", self._redacted),
            (3, "upload", lambda dice: self._upload("upload", dice)),
            (2, "upload leak", lambda dice: self._upload("upload leak", dice)),
            (3, "download", lambda _: self._download("download")),
            (2, "download leak", lambda _: self._download("download leak")),
            (3, "events", lambda _: self._events("events")),
            (2, "events leak", lambda _: self._events("events leak")),
            (3, "websocket", lambda dice: self._socket("websocket", dice)),
            (2, "websocket leak", lambda dice: self._socket("websocket leak", dice)),
            (5, "http/2", lambda dice: self._second("http/2", self._clean(dice))),
            (2, "http/2 leak", lambda dice: self._second("http/2 leak", self._leak(dice))),
            (4, "gRPC", lambda dice: self._call("gRPC", dice)),
            (2, "gRPC leak", lambda dice: self._call("gRPC leak", dice)),
            (3, "client resets", self._reset),
            (2, "client sends garbage", self._garbage),
            (2, "client goes in the midst", self._goes),
            (1, "upstream resets", lambda dice: self._fault("reset", dice)),
            (1, "upstream stalls", lambda dice: self._fault("stall", dice)),
            (1, "upstream breaks off", lambda dice: self._fault("cut", dice)),
            (1, "upstream sends garbage", lambda dice: self._fault("garbage", dice)),
        ]

    async def run(self, dice: random.Random, until: float) -> None:
        """One client after another, until the loop's clock says ``until``."""
        loop = asyncio.get_running_loop()
        weights = [weight for weight, _, _ in self._steps]
        while loop.time() < until:
            ((_, name, step),) = dice.choices(self._steps, weights)
            self._tally.sent[name] += 1
            try:
                async with asyncio.timeout(SECONDS):
                    await step(dice)
            except (OSError, TimeoutError, aiohttp.ClientError, httpx.HTTPError, asyncio.IncompleteReadError) as error:
                self._unanswered(name, type(error).__name__)

    async def close(self) -> None:
        await self._one.close()
        await self._two.aclose()
        await self._calls.close()

    # Messages.

    def _clean(self, dice: random.Random) -> dict[str, object]:
        return {
            "id": f"message-{next(self._ids)}",
            "level": "info",
            "duration_ms": dice.randrange(3000),
            "customer": {"id": dice.randrange(10**6), "city": "大阪"},
            "text": "order accepted " * dice.randrange(1, 60),
        }

    def _leak(self, dice: random.Random) -> dict[str, object]:
        number = dice.choice(self._numbers).decode()
        return self._clean(dice) | {"card_number": number}

    def _answered(self, name: str, status: int, ids: list[str]) -> None:
        """Books the answer to a message: what it should be depends on whether the message leaks."""
        if name.endswith("leak"):
            self._tally.passed[name] += status < 400
        elif status < 300:
            self._tally.owed.update(ids)
        elif status in (403, 422):
            self._tally.refused[f"{name} {status}"] += 1
        else:
            self._tally.lost[f"{name} {status}"] += 1

    def _unanswered(self, name: str, why: str) -> None:
        """A leak may be cut off, and a fault end in any way; nothing else may."""
        if not name.endswith("leak") and not name.startswith(("client", "upstream")):
            self._tally.lost[f"{name} {why}"] += 1

    def _received(self, name: str, data: bytes) -> None:
        if any(number in data for number in self._numbers):
            self._tally.passed[name] += 1

    # HTTP/1.

    async def _post(self, name: str, body: dict[str, object], coding: str = "") -> None:
        data, headers = json.dumps(body).encode(), {"Content-Type": "application/json"}
        if coding:
            data, headers["Content-Encoding"] = gzip.compress(data), coding
        async with self._one.post(f"{self._url}/take", data=data, headers=headers) as answer:
            await answer.read()
            self._answered(name, answer.status, [str(body["id"])])

    async def _form(self, name: str, card: str) -> None:
        here = f"message-{next(self._ids)}"
        async with self._one.post(f"{self._url}/take", data={"id": here, "card_number": card}) as answer:
            await answer.read()
            self._answered(name, answer.status, [here])

    async def _redacted(self, dice: random.Random) -> None:
        """Leaks to a lane that masks: it must arrive, without its number."""
        body = self._leak(dice)
        async with self._one.post(f"http://127.0.0.1:{self._ports['redacts']}/take", json=body) as answer:
            await answer.read()
            self._answered("redacted", answer.status, [str(body["id"])])

    async def _upload(self, name: str, dice: random.Random) -> None:
        here, number = f"message-{next(self._ids)}", dice.choice(self._numbers)
        bad = dice.randrange(UPLOAD_CHUNKS) if name.endswith("leak") else -1

        async def chunks() -> AsyncIterator[bytes]:
            yield f"{here}\n".encode()
            for index in range(UPLOAD_CHUNKS):
                note = number if index == bad else b"none"
                yield b"line %d card: %s %s\n" % (index, note, b"x" * 8000)

        async with self._one.post(f"{self._url}/take", data=chunks(), headers={"Content-Type": "text/plain"}) as answer:
            await answer.read()
            self._answered(name, answer.status, [here])

    async def _download(self, name: str) -> None:
        kind = "leak" if name.endswith("leak") else "fine"
        data = b""
        try:
            async with self._one.get(f"{self._url}/download/{kind}") as answer:
                async for chunk in answer.content.iter_any():
                    data += chunk
                self._answered(name, answer.status, [])
                if kind == "fine" and data.count(b"\n") != 64:
                    self._tally.lost[f"{name} in part"] += 1
        finally:
            self._received(name, data)

    async def _events(self, name: str) -> None:
        kind = "leak" if name.endswith("leak") else "fine"
        data = b""
        try:
            async with self._one.get(f"{self._url}/events/{kind}") as answer:
                async for chunk in answer.content.iter_any():
                    data += chunk
            if kind == "fine" and data.count(b"data: ") != 8:
                self._tally.lost[f"{name} in part"] += 1
        finally:
            self._received(name, data)

    async def _socket(self, name: str, dice: random.Random) -> None:
        bodies = [self._clean(dice) for _ in range(4)]
        if name.endswith("leak"):
            bodies[2] = self._leak(dice)
        async with self._one.ws_connect(f"{self._url}/socket", compress=dice.choice([0, 15])) as connection:
            for body in bodies:
                await connection.send_json(body)
                answer = await connection.receive()
                if answer.type is not aiohttp.WSMsgType.TEXT:
                    if "card_number" not in body:
                        self._tally.lost[f"{name} closed {connection.close_code}"] += 1
                    return
                self._answered("websocket leak" if "card_number" in body else "websocket", 200, [str(body["id"])])

    # HTTP/2 and gRPC.

    async def _second(self, name: str, body: dict[str, object]) -> None:
        answer = await self._two.post(f"{self._url}/take", json=body)
        self._answered(name, answer.status_code, [str(body["id"])])

    async def _call(self, name: str, dice: random.Random) -> None:
        leaks, many = name.endswith("leak"), dice.random() < 0.5
        bodies = [self._clean(dice) for _ in range(3 if many else 1)]
        if leaks:
            bodies[-1] = self._leak(dice)
        messages = [json.dumps(body).encode() for body in bodies]
        try:
            if many:
                await self._calls.stream_unary("/soak/TakeAll")(iter(messages), timeout=SECONDS)
            else:
                await self._calls.unary_unary("/soak/Take")(messages[0], timeout=SECONDS)
        except grpc.aio.AioRpcError as error:
            refused = error.code() is grpc.StatusCode.PERMISSION_DENIED
            self._answered(name, 403 if refused else 500 + error.code().value[0], [])
        else:
            self._answered(name, 200, [str(body["id"]) for body in bodies])

    # Faults.

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self._ports["logs"])

    async def _reset(self, dice: random.Random) -> None:
        """Part of a request, then RST."""
        _, writer = await self._open()
        whole = b"POST /take HTTP/1.1\r\nHost: a\r\nContent-Length: 4000\r\n\r\n" + b"y" * 4000
        writer.write(whole[: dice.randrange(1, len(whole))])
        await writer.drain()
        await asyncio.sleep(dice.random() / 50)
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.close()

    async def _garbage(self, dice: random.Random) -> None:
        reader, writer = await self._open()
        writer.write(dice.randbytes(dice.randrange(1, 3000)) + b"\r\n\r\n")
        if writer.can_write_eof():
            writer.write_eof()
        await reader.read()
        writer.close()

    async def _goes(self, dice: random.Random) -> None:
        """Asks for much, reads a little, and is gone."""
        reader, writer = await self._open()
        writer.write(b"GET /download/fine HTTP/1.1\r\nHost: a\r\n\r\n")
        await reader.read(dice.randrange(1, 20_000))
        writer.close()

    async def _fault(self, path: str, dice: random.Random) -> None:
        body = json.dumps(self._clean(dice)).encode()
        limit = aiohttp.ClientTimeout(total=1.5)
        async with self._one.post(f"{self._url}/{path}", data=body, timeout=limit) as answer:
            await answer.read()
