"""Reloads and ends of a real ``sekisho run`` under load; says what was lost.

``python benchmarks/reloads.py --reloads 200 --ends 10 --workers 1``. Ends with 1 if a message was lost, came
twice or was judged by a policy that was no longer in force, a connection was cut, or memory or descriptors grew.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import aiohttp
from aiohttp import web

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from tests import sidecar as sidecars  # noqa: E402
from tests.e2e import two  # noqa: E402 - needs the path
from tests.e2e.origin import read_response, status_of  # noqa: E402
from tests.sidecar import Sidecar, free_port, launch, policy_document  # noqa: E402

CARD = b'{"card_number": "5555555555554444"}'
MASKED = b"555555******4444"
PIECES, PIECE = 16, b"a plain line of a long log, with nothing in it that could be a card\n" * 900
GROWTH_BYTES, SPARE_FDS = 12e6, 12
SWAPPED = 10
"""Each tenth policy comes as Kubernetes brings a ConfigMap, without a signal."""


class Sink:
    """The upstream: keeps the ids of what arrives."""

    def __init__(self) -> None:
        self.arrived: Counter[str] = Counter()
        self.digits = 0
        self.masked = 0
        self.port = free_port()

    async def start(self) -> web.AppRunner:
        app = web.Application(client_max_size=2**30)
        app.router.add_post("/take/{id}", self._take)
        app.router.add_get("/events", self._events)
        app.router.add_get("/socket", self._socket)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port, backlog=1024).start()
        return runner

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.digits += b"5555555555554444" in body
        self.masked += MASKED in body
        self.arrived[request.match_info["id"]] += 1
        return web.json_response({"ok": True})

    async def _events(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        number = 0
        try:
            while True:
                await response.write(b"data: event %d\n\n" % number)
                number += 1
                await asyncio.sleep(0.02)
        except (ConnectionError, asyncio.CancelledError):
            return response

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        connection = web.WebSocketResponse()
        await connection.prepare(request)
        async for message in connection:
            self.arrived[message.data] += 1
            await connection.send_str(message.data)
        return connection


class Load:
    """Clients of one lane, each its own kind, until ``stop`` or until nobody listens any more."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.stop = False
        self.ending = False
        """The sidecar has been told to end: who would listen for ever does not."""
        self.answered: Counter[str] = Counter()
        self.wrong: Counter[str] = Counter()
        self.again: Counter[str] = Counter()
        """Not taken, as the protocol says, and safe to be sent again."""
        self.ids: list[str] = []
        self._next = 0

    def new(self, kind: str) -> str:
        self._next += 1
        return f"{kind}-{self._next}"

    def done(self, kind: str, name: str, status: int) -> None:
        self.answered[kind] += 1
        self.ids.append(name)
        if status != 200:
            self.wrong[f"{kind}: status {status}"] += 1

    async def run(self) -> None:
        kinds = [self.keep("keep-alive"), self.keep("keep-alive"), self.fresh(), self.upload(), self.upload()]
        kinds += [self.streams(), self.socket(), self.events()]
        await asyncio.gather(*kinds)

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        try:
            return await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return None

    async def keep(self, kind: str) -> None:
        """One request after the other on a connection that is kept as long as the sidecar keeps it."""
        while not self.stop and (opened := await self._open()) is not None:
            reader, writer = opened
            try:
                while not self.stop and not reader.at_eof():
                    name = self.new(kind)
                    if await self._post(kind, name, reader, writer, [b'{"line": "order 12 was paid"}']):
                        break
                    await asyncio.sleep(0.002)
            finally:
                writer.close()

    async def fresh(self) -> None:
        """A connection for each request."""
        while not self.stop and (opened := await self._open()) is not None:
            await self._post("fresh", self.new("fresh"), *opened, [b'{"line": "order 12 was paid"}'])
            opened[1].close()

    async def upload(self) -> None:
        """A megabyte, piece by piece."""
        while not self.stop and (opened := await self._open()) is not None:
            await self._post("upload", self.new("upload"), *opened, [PIECE] * PIECES)
            opened[1].close()

    async def _post(
        self, kind: str, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pieces: list[bytes]
    ) -> bool:
        """Whether the connection ends with it."""
        size = sum(map(len, pieces))
        head = f"POST /take/{name} HTTP/1.1\r\nHost: sink\r\nContent-Type: text/plain\r\nContent-Length: {size}\r\n\r\n"
        try:
            writer.write(head.encode())
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                if len(pieces) > 1:
                    await asyncio.sleep(0.005)
            response = await asyncio.wait_for(read_response(reader), 20)
            self.done(kind, name, status_of(response))
        except (OSError, asyncio.IncompleteReadError, TimeoutError, ValueError) as error:
            self.wrong[f"{kind}: {type(error).__name__}"] += 1
            return True
        return b"connection: close" in response.split(b"\r\n\r\n")[0].lower()

    async def streams(self) -> None:
        """HTTP/2, four streams at a time."""
        while not self.stop:
            try:
                async with two.client(self.port) as client:
                    while not self.stop and client.goaway is None and not client.closed:
                        await asyncio.gather(*(self._stream(client) for _ in range(4)))
            except (OSError, TimeoutError) as error:
                if isinstance(error, ConnectionRefusedError):
                    return
                self.wrong[f"http2: {type(error).__name__}"] += 1

    async def _stream(self, client: two.Client) -> None:
        name = self.new("http2")
        found = await client.ask(path=f"/take/{name}", method="POST", body=b'{"line": "order 12 was paid"}')
        if found.ended:
            self.done("http2", name, found.status)
        elif found.reset == 7 or client.goaway is not None:  # REFUSED_STREAM, or beyond the last one that GOAWAY names
            self.again["http2"] += 1
        else:
            self.wrong[f"http2: reset {found.reset}, closed {client.closed}"] += 1

    async def socket(self) -> None:
        """Messages on a WebSocket, each answered."""
        async with aiohttp.ClientSession() as session:
            while not self.stop:
                try:
                    await self._talk(session)
                except (aiohttp.ClientConnectorError, aiohttp.ServerDisconnectedError):
                    return

    async def _talk(self, session: aiohttp.ClientSession) -> None:
        async with session.ws_connect(f"http://127.0.0.1:{self.port}/socket") as connection:
            while not self.stop:
                name = self.new("websocket")
                await connection.send_str(name)
                answer = await connection.receive()
                if answer.type is aiohttp.WSMsgType.TEXT:
                    self.done("websocket", name, 200)
                elif connection.close_code == 1001:
                    self.again["websocket"] += 1
                    return
                else:
                    self.wrong[f"websocket: closed {connection.close_code}"] += 1
                    return
                await asyncio.sleep(0.005)

    async def events(self) -> None:
        """One stream of events for as long as it lasts, each once and in order."""
        opened = await self._open()
        assert opened is not None
        reader, writer = opened
        writer.write(b"GET /events HTTP/1.1\r\nHost: sink\r\n\r\n")
        number = 0
        while not (self.stop or self.ending):
            line = await reader.readline()
            if not line:
                break
            if line.startswith(b"data: "):
                self.wrong["events: out of order"] += line != b"data: event %d\n" % number
                number += 1
                self.answered["events"] += 1
        writer.close()


def bring(base: Path, document: dict[str, object], generation: int) -> None:
    """Puts a policy where the sidecar reads it, as Kubernetes does: by turning one link."""
    volume = base / f"..{generation}"
    volume.mkdir()
    (volume / "sekisho.yaml").write_text(json.dumps(document))
    (base / "..new").symlink_to(volume.name)
    (base / "..new").rename(base / "..data")


def memory(sidecar: Sidecar) -> tuple[float, int]:
    """Bytes resident and descriptors, of all its processes."""
    pid = sidecar.process.pid
    pids = [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
    pages = sum(int(Path(f"/proc/{one}/statm").read_text().split()[1]) for one in pids)
    return pages * os.sysconf("SC_PAGE_SIZE"), sum(len(list(Path(f"/proc/{one}/fd").iterdir())) for one in pids)


def start(base: Path, sink: Sink, workers: int) -> Sidecar:
    base.mkdir(exist_ok=True)
    sidecars.START_SECONDS = 120.0  # on a machine that is busy with other things
    lane = {"name": "logs", "upstream": f"http://127.0.0.1:{sink.port}", "role": "logging", "limits": {"body": "64KiB"}}
    document = policy_document(base, [lane])
    return launch(base, document, arguments=("--workers", str(workers)))


async def said(sidecar: Sidecar, line: str) -> None:
    async with asyncio.timeout(30):
        while line.encode() not in sidecar.output():  # noqa: ASYNC110 - a file has no event
            await asyncio.sleep(0.01)


async def reloads(base: Path, count: int, workers: int) -> list[str]:
    """Reloads under load; what was wrong."""
    sink = Sink()
    runner = await sink.start()
    sidecar = await asyncio.to_thread(start, base, sink, workers)
    (base / "sekisho.yaml").rename(base / "first.yaml")
    document = json.loads((base / "first.yaml").read_text())
    bring(base, document, 0)
    (base / "sekisho.yaml").symlink_to("..data/sekisho.yaml")
    load = Load(sidecar.port("logs"))
    loading = asyncio.create_task(load.run())
    wrong, first, took = [], (0.0, 0), list[float]()
    reader, writer = await asyncio.open_connection("127.0.0.1", load.port)
    for number in range(1, count + 1):
        redacts = number % 2 == 1
        document["policy_id"] = f"r-{number}"
        document["lanes"][0]["on_violation"] = "redact" if redacts else "block"
        bring(base, document, number)
        began = time.monotonic()
        if number % SWAPPED:
            sidecar.process.send_signal(signal.SIGHUP)
        await said(sidecar, f"policy r-{number} is in force")
        if number % SWAPPED:
            took.append(time.monotonic() - began)
        name = load.new("card")
        writer.write(f"POST /take/{name} HTTP/1.1\r\nHost: sink\r\nContent-Length: {len(CARD)}\r\n\r\n".encode() + CARD)
        status = status_of(await read_response(reader))
        if status != (200 if redacts else 403):
            wrong.append(f"policy {number} was in force, and the answer was {status}")
        if number == max(1, count // 4):
            first = memory(sidecar)
    last = memory(sidecar)
    load.stop = True
    await asyncio.wait_for(loading, 30)
    writer.close()
    code = await asyncio.to_thread(sidecar.stop)
    await runner.cleanup()
    grown, more = last[0] - first[0], last[1] - first[1]
    print(
        f"{count} reloads, {workers} worker(s): {sum(load.answered.values())} answers {dict(load.answered)}, "
        f"a reload takes {sorted(took)[len(took) // 2] * 1000:.0f} ms, memory {grown / 1e6:+.1f} MB, "
        f"descriptors {more:+d}, cards masked {sink.masked}"
    )
    wrong += [f"{key} × {times}" for key, times in load.wrong.items() if times]
    wrong += [f"sent again: {dict(load.again)}"] if load.again else []
    wrong += balance(load, sink)
    if code:
        wrong.append(f"exit code {code}")
    if grown > GROWTH_BYTES or more > SPARE_FDS:
        wrong.append(f"grew by {grown / 1e6:.1f} MB and {more} descriptors")
    return wrong


async def end(base: Path, workers: int, seconds: float) -> tuple[list[str], float, Counter[str]]:
    """SIGTERM under load; what was wrong, and how long it took to end."""
    sink = Sink()
    runner = await sink.start()
    sidecar = await asyncio.to_thread(start, base, sink, workers)
    load = Load(sidecar.port("logs"))
    loading = asyncio.create_task(load.run())
    await asyncio.sleep(seconds)
    began = time.monotonic()
    load.ending = True
    sidecar.process.send_signal(signal.SIGTERM)
    code = await asyncio.to_thread(sidecar.stop, signal.SIGCONT)
    took = time.monotonic() - began
    await asyncio.wait_for(loading, 30)
    await runner.cleanup()
    wrong = [f"{key} × {times}" for key, times in load.wrong.items() if times] + balance(load, sink)
    return wrong + ([f"exit code {code}"] if code else []), took, load.answered


def balance(load: Load, sink: Sink) -> list[str]:
    """What was answered and has not arrived exactly once."""
    ids = load.ids
    lost = [name for name in ids if not sink.arrived[name]]
    twice = [name for name, times in sink.arrived.items() if times > 1]
    return [f"{what}: {names[:5]}" for what, names in (("lost", lost), ("twice", twice)) if names] + (
        [f"{sink.digits} card numbers reached the sink"] if sink.digits else []
    )


async def main() -> int:
    """Prints figures and complaints; the exit code."""
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL)  # the sink is asked whether it speaks HTTP/2
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--reloads", type=int, default=200)
    parser.add_argument("--ends", type=int, default=10)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=2.0, help="of load before each end")
    options = parser.parse_args()
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as directory:
        if options.reloads:
            wrong += await reloads(Path(directory) / "reloads", options.reloads, options.workers)
        for number in range(options.ends):
            found, took, answered = await end(Path(directory) / f"end-{number}", options.workers, options.seconds)
            count = sum(answered.values())
            print(f"end {number + 1}, {options.workers} worker(s): took {took:.1f} s after {count} answers")
            wrong += found
    for line in wrong:
        print(f"WRONG: {line}")
    print("nothing was lost" if not wrong else f"{len(wrong)} kinds of wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
