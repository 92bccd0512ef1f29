from __future__ import annotations

import socket

import pytest

from proxy import quic
from proxy.quic import Datagrams
from tests.e2e.plane import until


def client(host="127.0.0.1"):
    return socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)


@pytest.fixture
def listening():
    """``listening(host)``: where it listens, and what it has seen."""
    opened = []

    def start(host="127.0.0.1"):
        seen: list[tuple[str, bytes]] = []
        datagrams = Datagrams(host, 0, lambda peer, data: seen.append((peer, data)), shared=False)
        opened.append(datagrams)
        return datagrams.sockets[0].getsockname()[:2], seen

    yield start
    for datagrams in opened:
        datagrams.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_client_is_told_once_and_never_answered(listening, host):
    where, seen = listening(host)
    with client(host) as one, client(host) as other:
        one.sendto(b"first", where)
        one.sendto(b"again", where)
        other.sendto(b"other", where)
        await until(lambda: len(seen) == 2)
        names = [f"{host}:{each.getsockname()[1]}" for each in (one, other)]
        assert seen == [(names[0], b"first"), (names[1], b"other")]
        for each in (one, other):
            each.setblocking(False)
            with pytest.raises(BlockingIOError):
                each.recv(100)


async def test_a_client_that_was_quiet_counts_anew(listening, monkeypatch):
    monkeypatch.setattr(quic, "AGAIN_SECONDS", -1.0)
    where, seen = listening()
    with client() as one:
        for data in (b"1", b"2"):
            one.sendto(data, where)
        await until(lambda: len(seen) == 2)


async def test_what_is_remembered_has_a_bound(listening, monkeypatch):
    monkeypatch.setattr(quic, "MOST_CLIENTS", 1)
    where, seen = listening()
    with client() as one, client() as other:
        for number, each in enumerate((one, other, one)):
            each.sendto(b"x", where)
            await until(lambda number=number: len(seen) == number + 1)


async def test_a_taken_address(listening):
    where, _ = listening()
    with pytest.raises(OSError, match="in use"):
        Datagrams(*where, lambda *_: None, shared=False)


async def test_closed_is_closed_at_once(listening):
    where, _ = listening()
    one = Datagrams("127.0.0.1", 0, lambda *_: None, shared=False)
    where = one.sockets[0].getsockname()
    one.close()
    again = Datagrams(*where, lambda *_: None, shared=False)
    again.close()
