"""Sinks for real clients: HTTP servers on one thread, each of which keeps every request as it arrived."""

from __future__ import annotations

import asyncio
import base64
import gzip
import io
import json
import threading
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import brotli
import zstandard
from aiohttp import web

# Readers of their own: what Sekisho's decoders do is under test.
UNPACKED: Mapping[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.GzipFile(fileobj=io.BytesIO(data)).read(),
    "deflate": zlib.decompress,
    "br": brotli.decompress,
    "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
    "zstd1": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
}


@dataclass(frozen=True)
class Received:
    """One request, as it stood on the wire after de-chunking."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str:
        """The value of the field; empty where it is missing."""
        return next((value for key, value in self.headers if key.lower() == name), "")

    @property
    def plain(self) -> bytes:
        """The body without its content coding. Raises whatever the reader raises when it is damaged."""
        return UNPACKED.get(self.header("content-encoding"), bytes)(self.body)

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.plain)

    def text(self) -> str:
        """All of it, to be searched."""
        heads = "\n".join(f"{name}: {value}" for name, value in self.headers)
        return f"{self.method} {self.target}\n{heads}\n\n{self.plain.decode('latin-1')}"


Answer = Callable[[Received], web.Response]


def accepts(received: Received) -> web.Response:
    """An answer that any client takes for success."""
    return web.json_response({"ok": True, "received": len(received.body)})


@dataclass
class Sink:
    """One server. ``received`` grows as requests arrive."""

    name: str
    answer: Answer = accepts
    port: int = 0
    received: list[Received] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def only(self) -> Received:
        """The one request that has arrived since the sink was emptied."""
        assert len(self.received) == 1, f"{self.name} was sent {len(self.received)} requests"
        return self.received[0]

    async def handle(self, request: web.Request) -> web.Response:
        fields = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in request.raw_headers)
        received = Received(request.method, request.raw_path, fields, await request.read())
        self.received.append(received)
        return self.answer(received)


class Sinks:
    """All sinks of a run, on a thread of their own. ``sinks["loki"]`` is the one of that name."""

    def __init__(self, *sinks: Sink) -> None:
        self._sinks = {sink.name: sink for sink in sinks}
        self._loop = asyncio.new_event_loop()
        self._runners: list[web.AppRunner] = []
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="sinks")
        self._thread.start()
        assert self._ready.wait(60)

    def __getitem__(self, name: str) -> Sink:
        return self._sinks[name]

    def empty(self) -> None:
        """Forgets all that has arrived."""
        for sink in self._sinks.values():
            sink.received.clear()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    async def _start(self) -> None:
        for sink in self._sinks.values():
            app = web.Application(client_max_size=2**28)
            app.router.add_route("*", "/{rest:.*}", sink.handle)
            runner = web.AppRunner(app, access_log=None, auto_decompress=False)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            sink.port = runner.addresses[0][1]
            self._runners.append(runner)
        self._ready.set()

    def _serve(self) -> None:
        self._loop.run_until_complete(self._start())
        self._loop.run_forever()
        for runner in self._runners:
            self._loop.run_until_complete(runner.cleanup())
        self._loop.close()


def holds(number: str, data: bytes) -> list[str]:
    """In which forms the number stands in ``data``; never the digits."""
    digits = number.encode()
    forms = {
        "plain": digits,
        "in groups": b" ".join(digits[i : i + 4] for i in range(0, len(digits), 4)),
        "with dashes": b"-".join(digits[i : i + 4] for i in range(0, len(digits), 4)),
        "hex": digits.hex().encode(),
        # The characters that any base64 of it has at each alignment.
        "base64": base64.b64encode(digits)[: len(digits) * 4 // 3 - 1],
        "base64, one on": base64.b64encode(b"\0" + digits)[2 : len(digits) * 4 // 3],
        "base64, two on": base64.b64encode(b"\0\0" + digits)[3 : len(digits) * 4 // 3],
    }
    return [name for name, form in forms.items() if form in data]
