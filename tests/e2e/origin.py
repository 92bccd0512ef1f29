"""Real origin servers for tests: they keep every byte they receive and answer with bytes that the test chose."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_END = re.compile(rb"\r\n0\r\n(?:[^\r\n]+\r\n)*\r\n\Z")

Reply = bytes | Callable[[bytes], bytes | None]
"""What to answer to a request: fixed bytes, or a function of the request; ``None`` closes without an answer."""


@dataclass
class Origin:
    """What a server was sent."""

    port: int = 0
    received: bytearray = field(default_factory=bytearray)
    """Every byte of every connection, in order of arrival."""
    requests: list[bytes] = field(default_factory=list)
    """Each whole request, as it stood on the wire."""
    connections: int = 0
    heard: asyncio.Event = field(default_factory=asyncio.Event)
    """Set whenever bytes arrive."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def whole(data: bytes) -> int | None:
    """The length of the first request in ``data``; ``None`` while it is not whole."""
    head, blank, rest = data.partition(b"\r\n\r\n")
    if not blank:
        return None
    if _CHUNKED.search(head):
        body = b"\r\n" + rest
        return len(data) if _END.search(body) else None
    length = int(found[1]) if (found := _LENGTH.search(head)) else 0
    end = len(head) + 4 + length
    return end if len(data) >= end else None


@asynccontextmanager
async def origin(reply: Reply = OK, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Origin]:
    """A listening origin server. A request that begins with ``PRI`` or never ends gets no answer."""
    state = Origin()
    open_: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_[task] = writer
        state.connections += 1
        buffer = b""
        try:
            while data := await reader.read(65536):
                state.received += data
                buffer += data
                state.heard.set()
                while (end := whole(buffer)) is not None:
                    request, buffer = buffer[:end], buffer[end:]
                    state.requests.append(request)
                    answer = reply(request) if callable(reply) else reply
                    if answer is None:
                        return
                    writer.write(answer)
                    await writer.drain()
                    if b"\r\nconnection: close" in answer.lower():
                        return
        except (ConnectionError, ssl.SSLError):
            return
        finally:
            del open_[task]
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    state.port = server.sockets[0].getsockname()[1]
    try:
        yield state
    finally:
        server.close()
        for writer in list(open_.values()):
            writer.transport.abort()
        if open_:
            await asyncio.wait(list(open_))


async def exchange(port: int, data: bytes, *, close: bool = False, seconds: float = 60) -> bytes:
    """All that comes back for ``data`` until one whole response is there or the connection ends.

    ``close`` waits for the end of the connection, whatever has come before it.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(seconds):
            writer.write(data)
            return await read_response(reader, close=close)
    finally:
        writer.close()


async def read_response(reader: asyncio.StreamReader, *, close: bool = False, head: bool = False) -> bytes:
    """One whole response, or everything up to the end of the connection."""
    buffer = b""
    while data := await reader.read(65536):
        buffer += data
        if close:
            continue
        length = whole(buffer)
        if head and b"\r\n\r\n" in buffer:
            return buffer
        if length is not None and length <= len(buffer):
            return buffer
    return buffer


def post(path: str = "/", body: bytes = b"", *headers: str, host: str = "127.0.0.1") -> bytes:
    """A POST request as bytes."""
    lines = [f"POST {path} HTTP/1.1", f"Host: {host}", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def get(path: str = "/", *headers: str, host: str = "127.0.0.1") -> bytes:
    """A GET request as bytes."""
    return "\r\n".join([f"GET {path} HTTP/1.1", f"Host: {host}", *headers, "", ""]).encode()


def status_of(response: bytes) -> int:
    """The status code of a response; 0 if there is none."""
    parts = response.split(b" ", 2)
    return int(parts[1]) if len(parts) > 1 and parts[0].startswith(b"HTTP/") else 0


def body_of(response: bytes) -> bytes:
    """What follows the header block."""
    return response.partition(b"\r\n\r\n")[2]
