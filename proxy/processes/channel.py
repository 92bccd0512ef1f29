"""Questions and answers between a supervisor and a worker, over a pair of sockets: JSON, its length before it."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from proxy.records.audit import AuditError

LENGTH = struct.Struct("!I")
RECORD_SECONDS = 5.0
"""How long a worker waits for the word that its record is kept."""
MOST_UNSENT = 1024 * 1024
"""Bytes that may wait for a supervisor who does not read."""


class Gone(Exception):
    """The other side has closed its end, or has died."""


async def answer(sock: socket.socket, handle: Callable[[Any], Awaitable[Any]]) -> None:
    """Answers one question after the other with what ``handle`` makes of it, until the other side is gone."""
    reader, writer = await asyncio.open_unix_connection(sock=sock)
    try:
        while True:
            writer.write(_frame(await handle(await _read(reader))))
            await writer.drain()
    except (Gone, OSError):
        return
    finally:
        writer.close()


class Asker:
    """Asks ``answer``, on the other end. Several may ask at once: answers come in the order of the questions."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._gone = False
        self._reading = asyncio.get_running_loop().create_task(self._take(reader))

    @classmethod
    async def on(cls, sock: socket.socket) -> Asker:
        """One on this end of the pair."""
        return cls(*await asyncio.open_unix_connection(sock=sock))

    async def ask(self, question: Any, seconds: float) -> Any:
        """The answer. Raises ``Gone``, or ``TimeoutError`` if it takes longer than ``seconds``."""
        if self._gone:
            raise Gone
        answered = asyncio.get_running_loop().create_future()
        self._waiting.append(answered)
        self._writer.write(_frame(question))
        async with asyncio.timeout(seconds):
            return await answered

    def close(self) -> None:
        """Lets go of the socket."""
        self._reading.cancel()
        self._writer.close()

    async def _take(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                found = await _read(reader)
                if not (answered := self._waiting.popleft()).done():
                    answered.set_result(found)
        except Gone:
            self._gone = True
            self._writer.close()
            for answered in self._waiting:
                if not answered.done():
                    answered.set_exception(Gone())


class RelayedAudit:
    """An ``AuditSink`` in a worker: the supervisor, who answers on the other end, keeps the records.

    Waits for its word on whatever thread it is called. A record that was given up may still be kept later.
    """

    def __init__(self, sock: socket.socket, seconds: float = RECORD_SECONDS) -> None:
        self._sock = sock
        self._sock.settimeout(seconds)
        self._lock = threading.Lock()
        self._number = 0
        self._unsent = bytearray()
        self._received = bytearray()

    def append(self, event: Mapping[str, Any]) -> str:
        """See ``AuditSink``."""
        with self._lock:
            if len(self._unsent) > MOST_UNSENT:
                raise AuditError("the supervisor takes no more records")
            self._number += 1
            self._unsent += _frame([self._number, event])
            try:
                while self._unsent:
                    del self._unsent[: self._sock.send(self._unsent)]
                number, said = self._receive()
                while number != self._number:  # it is about one that was given up
                    number, said = self._receive()
            except (OSError, Gone) as error:
                raise AuditError(f"the supervisor keeps no record: {type(error).__name__}") from error
        if not isinstance(said.get("id"), str):
            raise AuditError(str(said.get("error", "the record was not kept")))
        return str(said["id"])

    def _receive(self) -> Any:
        """One frame. Of one that does not come in time, what has come is kept."""
        (length,) = LENGTH.unpack(self._peek(LENGTH.size))
        frame = json.loads(self._peek(LENGTH.size + length)[LENGTH.size :])
        del self._received[: LENGTH.size + length]
        return frame

    def _peek(self, size: int) -> bytes:
        while len(self._received) < size:
            more = self._sock.recv(65536)
            if not more:
                raise Gone
            self._received += more
        return bytes(self._received[:size])


def _frame(value: Any) -> bytes:
    data = json.dumps(value, separators=(",", ":")).encode()
    return LENGTH.pack(len(data)) + data


async def _read(reader: asyncio.StreamReader) -> Any:
    """One frame. Raises ``Gone``."""
    try:
        (length,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
        return json.loads(await reader.readexactly(length))
    except (asyncio.IncompleteReadError, OSError):
        raise Gone from None
