"""One connection for one question."""

from __future__ import annotations

import asyncio
import errno
import os

import pytest
from OpenSSL import SSL

from proxy.doctor import wire as wire_module
from proxy.doctor.wire import Wire, why
from proxy.http.tls import to_upstream, upstream_context
from tests.e2e.authority import authority, server_context
from tests.e2e.origin import OK, get, origin
from tests.sidecar import free_port


def asked(port: int, tls=None, until=b"ok") -> bytes:
    with Wire.to("127.0.0.1", port, tls) as wire:
        wire.shake()
        wire.send(get("/a"))
        return wire.receive(until)


async def test_plain():
    async with origin() as server:
        assert await asyncio.to_thread(asked, server.port) == OK


async def test_tls(tmp_path):
    public, _ = authority(tmp_path)
    tls = to_upstream(upstream_context(public), "127.0.0.1")
    async with origin(tls=server_context(tmp_path, "127.0.0.1")) as server:
        assert await asyncio.to_thread(asked, server.port, tls) == OK
        assert server.requests == [get("/a")]


async def test_tls_that_is_not_trusted(tmp_path):
    authority(tmp_path)
    tls = to_upstream(upstream_context(None), "127.0.0.1")
    async with origin(tls=server_context(tmp_path, "127.0.0.1")) as server:
        with pytest.raises(SSL.Error):
            await asyncio.to_thread(asked, server.port, tls)
        assert bytes(server.received) == b""


async def test_tls_that_is_none(monkeypatch):
    monkeypatch.setattr(wire_module, "ANSWER_SECONDS", 0.2)
    tls = to_upstream(upstream_context(None), "127.0.0.1")
    async with origin(b"HTTP/1.1 400 No\r\nconnection: close\r\n\r\n") as server:
        with pytest.raises((SSL.Error, OSError)):
            await asyncio.to_thread(asked, server.port, tls)


async def test_an_answer_ends_with_the_connection():
    async with origin(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nall") as server:
        assert (await asyncio.to_thread(asked, server.port, None, b"")).endswith(b"all")


def test_nobody_listens():
    with pytest.raises(OSError, match="refused") as raised:
        asked(free_port())
    assert why(raised.value) == "Connection refused"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TimeoutError("timed out"), "no answer in time"),
        (OSError(errno.EHOSTUNREACH, os.strerror(errno.EHOSTUNREACH)), "No route to host"),
        (ConnectionResetError("gone"), "ConnectionResetError"),
        (SSL.Error([]), "no TLS handshake"),
    ],
)
def test_why(error, words):
    assert why(error) == words
