"""One connection for one question: plain, or with TLS whose certificate was made for it. Times are bounded."""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Self

from cryptography import x509
from OpenSSL import SSL

CONNECT_SECONDS = 4.0
ANSWER_SECONDS = 5.0
MOST = 64 * 1024
"""Bytes of an answer that are read."""


class Wire:
    """A connected socket, with a TLS connection on top of it if ``tls`` is one (it has its side and its name set)."""

    def __init__(self, connected: socket.socket, tls: SSL.Connection | None = None) -> None:
        self._socket = connected
        self._tls = tls
        connected.settimeout(ANSWER_SECONDS)

    @classmethod
    def to(cls, host: str, port: int, tls: SSL.Connection | None = None) -> Self:
        """Raises ``OSError``."""
        return cls(socket.create_connection((host, port), CONNECT_SECONDS), tls)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._socket.close()

    @property
    def port(self) -> int:
        """Of our own end."""
        return int(self._socket.getsockname()[1])

    def shake(self) -> x509.Certificate | None:
        """The TLS handshake, and the certificate shown in it. Raises ``SSL.Error`` if there is none, ``OSError``."""
        if self._tls is None:
            return None
        self._step(self._tls.do_handshake)
        return self._tls.get_peer_certificate(as_cryptography=True)

    def send(self, data: bytes) -> None:
        if self._tls is None:
            self._socket.sendall(data)
        else:
            self._tls.sendall(data)
            self._flush(self._tls)

    def receive(self, until: bytes = b"") -> bytes:
        """All that comes up to ``until``, the end of the connection, or 64 KiB."""
        got = b""
        while len(got) < MOST and not (until and until in got):
            try:
                more = self._socket.recv(MOST) if self._tls is None else self._step(partial(self._tls.recv, MOST))
            except (SSL.ZeroReturnError, SSL.SysCallError, ConnectionError):
                break
            if not more:
                break
            got += more
        return got

    def _step[Result](self, step: Callable[[], Result]) -> Result:
        assert self._tls is not None  # noqa: S101 - for the type checker
        while True:
            try:
                result = step()
            except SSL.WantReadError:
                self._flush(self._tls)
                data = self._socket.recv(MOST)
                if not data:
                    raise ConnectionResetError("the connection was closed") from None
                self._tls.bio_write(data)
            except SSL.Error:
                self._flush(self._tls)  # the alert
                raise
            else:
                self._flush(self._tls)
                return result

    def _flush(self, tls: SSL.Connection) -> None:
        while True:
            try:
                self._socket.sendall(tls.bio_read(MOST))
            except SSL.WantReadError:
                return


def why(error: Exception) -> str:
    """A failed connection in the system's own words."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, SSL.Error):
        return "no TLS handshake"
    return (error.strerror if isinstance(error, OSError) else "") or type(error).__name__
