from __future__ import annotations

import signal
import socket
import subprocess

import pytest

from proxy.processes import member as module
from proxy.processes.channel import Gone
from proxy.processes.member import Member


@pytest.fixture
def member():
    """One that sleeps."""
    process = subprocess.Popen(["sleep", "60"])
    pairs = socket.socketpair(), socket.socketpair()
    yield Member(process.pid, pairs[0][0], pairs[1][0])
    process.wait()
    for pair in pairs:
        for sock in pair:
            sock.close()


async def test_its_end(member):
    member.signal(signal.SIGTERM)
    assert await member.ended() == -signal.SIGTERM


async def test_one_that_does_not_end_is_killed(member, monkeypatch):
    monkeypatch.setattr(module, "END_SECONDS", 0)
    assert await member.ended() == -signal.SIGKILL


async def test_nothing_is_sent_to_the_number_of_one_that_is_gone(member, monkeypatch):
    member.signal(signal.SIGKILL)
    await member.ended()
    monkeypatch.setattr(module.os, "kill", None)
    member.signal(signal.SIGKILL)


async def test_one_that_has_just_been_forked_cannot_be_asked(member):
    with pytest.raises(Gone):
        await member.ask("state", 1)
    member.signal(signal.SIGKILL)
    await member.ended()
