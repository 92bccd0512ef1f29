"""QUIC to a transparent lane: counted, never answered. iptables redirects UDP/443 here instead of letting it leave.

QUIC encrypts itself, so nobody here can read it; a client that gets no answer uses TCP. A datagram does not tell where
it was going: for UDP the kernel keeps that to itself.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable

AGAIN_SECONDS = 30.0
"""A client's socket that has been quiet for so long counts anew."""
MOST_CLIENTS = 1024
MOST_BYTES = 65535
AT_ONCE = 64
"""Datagrams that are read before other connections have their turn."""


class Datagrams:
    """A UDP socket whose clients are told to ``seen``: the client's address, and its first datagram."""

    def __init__(self, host: str, port: int, seen: Callable[[str, bytes], None], *, shared: bool) -> None:
        """Begins to listen; ``shared``: others listen on the same address (SO_REUSEPORT). Raises ``OSError``."""
        self._seen = seen
        self._clients: dict[tuple[str, int], float] = {}
        self._loop = asyncio.get_running_loop()
        self._socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            if shared:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if self._socket.family == socket.AF_INET6:
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            self._socket.bind((host, port))
        except OSError:
            self._socket.close()
            raise
        self._loop.add_reader(self._socket, self._read)

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """What it listens on."""
        return (self._socket,)

    def close(self) -> None:
        """Stops at once."""
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _read(self) -> None:
        for _ in range(AT_ONCE):
            try:
                data, peer = self._socket.recvfrom(MOST_BYTES)
            except OSError:
                return
            client, now = (str(peer[0]), int(peer[1])), time.monotonic()
            before = self._clients.pop(client, None)
            self._clients[client] = now
            if len(self._clients) > MOST_CLIENTS:
                del self._clients[next(iter(self._clients))]
            if before is None or now - before > AGAIN_SECONDS:
                self._seen(f"{client[0]}:{client[1]}", data)
