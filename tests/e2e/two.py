"""HTTP/2 for tests, on hyper-h2 itself: a client that can misbehave frame by frame, and an origin that keeps all."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.settings

Fields = list[tuple[str, str]]


@dataclass
class Exchanged:
    """What came on one stream."""

    fields: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    trailers: dict[str, str] = field(default_factory=dict)
    ended: bool = False
    reset: int | None = None

    @property
    def status(self) -> int:
        return int(self.fields.get(":status", 0))

    @property
    def over(self) -> bool:
        return self.ended or self.reset is not None


class Patient(h2.connection.H2Connection):
    """The engine takes GOAWAY for the end; streams that have begun go on."""

    def _receive_goaway_frame(self, frame: Any) -> Any:
        event = h2.events.ConnectionTerminated()
        event.error_code, event.last_stream_id = frame.error_code, frame.last_stream_id
        return [], [event]


class End:
    """One end of a connection: events of the engine by stream. ``acknowledges`` is whether windows open again."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, client: bool) -> None:
        config = h2.config.H2Configuration(
            client_side=client,
            header_encoding="utf-8",
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
            validate_inbound_headers=False,
        )
        self.h2 = Patient(config)
        self.reader, self.writer = reader, writer
        self.streams: dict[int, Exchanged] = {}
        self.acknowledges = True
        self.goaway: int | None = None
        self.closed = False
        self.moved = asyncio.Event()

    def flush(self) -> None:
        if data := self.h2.data_to_send():
            self.writer.write(data)

    async def listen(self, heard: Callable[[h2.events.Event], Awaitable[None]] | None = None) -> None:
        """Reads until the connection ends."""
        try:
            while data := await self.reader.read(65536):
                for event in self.h2.receive_data(data):
                    self._keep(event)
                    if heard is not None:
                        await heard(event)
                self.flush()
                self.moved.set()
        except (ConnectionError, ssl.SSLError):
            pass
        finally:
            self.closed = True
            self.moved.set()

    def _keep(self, event: Any) -> None:
        if isinstance(event, h2.events.ConnectionTerminated):
            self.goaway = int(event.error_code)
            return
        stream_id = getattr(event, "stream_id", None)
        if not stream_id:
            return
        stream = self.streams.setdefault(stream_id, Exchanged())
        if isinstance(event, h2.events.ResponseReceived | h2.events.RequestReceived):
            stream.fields = dict(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            stream.body += event.data
            if self.acknowledges:
                self.h2.acknowledge_received_data(event.flow_controlled_length, stream_id)
        elif isinstance(event, h2.events.TrailersReceived):
            stream.trailers = dict(event.headers)
        elif isinstance(event, h2.events.StreamEnded):
            stream.ended = True
        elif isinstance(event, h2.events.StreamReset):
            stream.reset = int(event.error_code)

    async def until(self, holds: Callable[[], object], seconds: float = 60) -> None:
        async with asyncio.timeout(seconds):
            while not holds():
                if self.closed:
                    raise ConnectionError("closed")
                self.moved.clear()
                await self.moved.wait()

    async def send_body(self, stream: int, data: bytes, *, end: bool) -> None:
        """All of ``data``, as the peer's window lets it pass."""
        at = 0
        while at < len(data):
            await self.until(lambda: self.h2.local_flow_control_window(stream) > 0)
            size = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size, len(data) - at)
            self.h2.send_data(stream, data[at : at + size], end_stream=end and at + size == len(data))
            self.flush()
            at += size


class Client(End):
    """A client with prior knowledge, or after ALPN."""

    authority = "lane.example"
    """Whom it asks."""

    async def ask(
        self,
        path: str = "/",
        body: bytes | Iterable[bytes] = b"",
        *fields: tuple[str, str],
        method: str = "",
        trailers: Fields | None = None,
        wait: bool = True,
        raw: Fields | None = None,
    ) -> Exchanged:
        """One exchange; ``body`` in several DATA frames where it is a list. ``raw`` replaces all header fields."""
        pieces = [body] if isinstance(body, bytes) else list(body)
        stream = self.h2.get_next_available_stream_id()
        method = method or ("POST" if any(pieces) else "GET")
        head = raw or [(":method", method), (":scheme", "http"), (":path", path), (":authority", self.authority)]
        found = self.streams[stream] = Exchanged()
        self.h2.send_headers(stream, [*head, *fields], end_stream=not any(pieces) and trailers is None)
        self.flush()
        for index, piece in enumerate(pieces):
            if piece:
                await self.send_body(stream, piece, end=trailers is None and index == len(pieces) - 1)
        if trailers is not None:
            self.h2.send_headers(stream, trailers, end_stream=True)
            self.flush()
        if wait:
            await self.until(lambda: found.over)
        return found

    async def gone(self, seconds: float = 60) -> None:
        """Returns when the other end has closed the connection."""
        async with asyncio.timeout(seconds):
            while not self.closed:
                self.moved.clear()
                await self.moved.wait()


@asynccontextmanager
async def client(
    port: int,
    *,
    settings: dict[int, int] | None = None,
    stream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None,
) -> AsyncIterator[Client]:
    """A connected client. ``stream`` is a connection that is open already."""
    reader, writer = stream or await asyncio.open_connection("127.0.0.1", port)
    end = Client(reader, writer, client=True)
    end.h2.local_settings.update(settings or {})
    end.h2.local_settings.acknowledge()  # or the engine would announce what it had before
    end.h2.initiate_connection()
    end.flush()
    listening = asyncio.ensure_future(end.listen())
    try:
        yield end
    finally:
        listening.cancel()
        writer.close()


Answer = Callable[["Exchanged"], tuple[Fields, bytes, Fields]]


def ok(request: Exchanged) -> tuple[Fields, bytes, Fields]:
    """200 with a short body."""
    return [(":status", "200"), ("content-type", "text/plain")], b"ok", []


@dataclass
class OriginTwo:
    """What an HTTP/2 origin was sent."""

    port: int = 0
    requests: list[Exchanged] = field(default_factory=list)
    """Whole requests, in the order in which they ended."""
    begun: list[Exchanged] = field(default_factory=list)
    connections: int = 0
    ends: list[End] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def origin_two(
    answer: Answer | None = ok, *, tls: ssl.SSLContext | None = None, settings: dict[int, int] | None = None
) -> AsyncIterator[OriginTwo]:
    """An origin that speaks HTTP/2 only. ``answer`` of ``None`` never answers."""
    state = OriginTwo()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        end = End(reader, writer, client=False)
        state.ends.append(end)
        state.connections += 1
        end.h2.local_settings.update(settings or {})
        end.h2.local_settings.acknowledge()
        end.h2.initiate_connection()
        end.flush()

        async def respond(stream_id: int) -> None:
            if answer is None:
                return
            fields, body, trailers = answer(end.streams[stream_id])
            end.h2.send_headers(stream_id, fields, end_stream=not body and not trailers)
            end.flush()
            if body:
                await end.send_body(stream_id, body, end=not trailers)
            if trailers:
                end.h2.send_headers(stream_id, trailers, end_stream=True)
                end.flush()

        async def heard(event: Any) -> None:
            if isinstance(event, h2.events.RequestReceived):
                state.begun.append(end.streams[event.stream_id])
            elif isinstance(event, h2.events.StreamEnded):
                state.requests.append(end.streams[event.stream_id])
                task = asyncio.ensure_future(respond(event.stream_id))
                tasks.add(task)
                task.add_done_callback(lambda done: (tasks.discard(done), done.cancelled() or done.exception()))

        await end.listen(heard)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    state.port = server.sockets[0].getsockname()[1]
    try:
        yield state
    finally:
        server.close()
        for end in state.ends:
            end.writer.transport.abort()
        for task in list(tasks):
            task.cancel()
        await asyncio.sleep(0)
