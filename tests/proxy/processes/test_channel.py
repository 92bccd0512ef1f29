from __future__ import annotations

import asyncio
import json
import socket
import threading
from contextlib import asynccontextmanager

import pytest

from proxy.processes.channel import LENGTH, MOST_UNSENT, Asker, Gone, RelayedAudit, answer
from proxy.records.audit import AuditError

EVENT = {"kind": "gap", "path": "/café", "findings": [], "status": 0}


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


@asynccontextmanager
async def answered(sock, handle):
    """While ``handle`` answers at the end ``sock``."""
    task = asyncio.create_task(answer(sock, handle))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})
        await asyncio.sleep(0)  # the transport's own farewell


@asynccontextmanager
async def asking(sock):
    asker = await Asker.on(sock)
    try:
        yield asker
    finally:
        asker.close()
        await asyncio.sleep(0)


async def echo(question):
    await asyncio.sleep(0)
    return {"asked": question}


async def test_answers_come_in_the_order_of_the_questions(pair):
    async with answered(pair[1], echo), asking(pair[0]) as asker:
        questions = ["a", {"b": [1, None]}, "x" * 300_000]
        assert await asyncio.gather(*(asker.ask(question, 60) for question in questions)) == [
            {"asked": question} for question in questions
        ]


async def test_an_answer_that_comes_late_is_not_taken_for_the_next(pair):
    gate = asyncio.Event()

    async def slow(question):
        await gate.wait()
        return question

    async with answered(pair[1], slow), asking(pair[0]) as asker:
        with pytest.raises(TimeoutError):
            await asker.ask("first", 0.01)
        gate.set()
        assert await asker.ask("second", 60) == "second"


async def test_whoever_asks_is_told_that_the_other_is_gone(pair):
    async with asking(pair[0]) as asker:
        asked = asyncio.create_task(asker.ask("anything", 60))
        await asyncio.sleep(0)
        pair[1].close()
        for waiting in (asked, asker.ask("more", 60)):
            with pytest.raises(Gone):
                await waiting


async def test_whoever_answers_ends_when_the_other_is_gone(pair):
    pair[0].sendall(LENGTH.pack(100) + b"half a fra")
    pair[0].close()
    await answer(pair[1], echo)


async def kept(pair, reply, *, events=1):
    """What ``append`` gives on a thread, when the supervisor answers ``reply(event)``."""

    async def keep(numbered):
        number, event = numbered
        return number, reply(event)

    async with answered(pair[1], keep):
        audit = RelayedAudit(pair[0])
        return await asyncio.gather(*(asyncio.to_thread(audit.append, EVENT | {"n": n}) for n in range(events)))


async def test_a_record_is_handed_over_and_its_id_comes_back(pair):
    seen = []
    assert await kept(pair, lambda event: seen.append(event) or {"id": "one"}) == ["one"]
    assert seen == [EVENT | {"n": 0}]


async def test_threads_wait_for_one_another(pair):
    assert await kept(pair, lambda event: {"id": str(event["n"])}, events=50) == [str(n) for n in range(50)]


@pytest.mark.parametrize(
    ("reply", "said"), [({"error": "no space left"}, "no space left"), ({}, "not kept"), ({"id": None}, "not kept")]
)
async def test_a_record_that_is_not_kept(pair, reply, said):
    with pytest.raises(AuditError, match=said):
        await kept(pair, lambda _: reply)


def test_without_a_supervisor_no_record_is_kept(pair):
    pair[1].close()
    audit = RelayedAudit(pair[0])
    for _ in range(2):
        with pytest.raises(AuditError, match="supervisor"):
            audit.append(EVENT)


def test_an_answer_that_breaks_off(pair):
    pair[1].sendall(LENGTH.pack(100) + b'{"id"')
    pair[1].shutdown(socket.SHUT_WR)
    with pytest.raises(AuditError, match="supervisor"):
        RelayedAudit(pair[0]).append(EVENT)


def frame_at(sock) -> list:
    """The next frame that has arrived."""
    (length,) = LENGTH.unpack(sock.recv(LENGTH.size, socket.MSG_WAITALL))
    return json.loads(sock.recv(length, socket.MSG_WAITALL))


def reply_at(sock, value) -> None:
    data = json.dumps(value).encode()
    sock.sendall(LENGTH.pack(len(data)) + data)


def test_the_late_word_on_a_record_is_not_taken_for_that_on_the_next(pair):
    audit = RelayedAudit(pair[0], seconds=0.02)
    with pytest.raises(AuditError, match="TimeoutError"):
        audit.append(EVENT)
    assert frame_at(pair[1]) == [1, EVENT]
    pair[1].sendall(LENGTH.pack(14) + b'[1,{"id"')  # half of it
    with pytest.raises(AuditError, match="TimeoutError"):
        audit.append(EVENT)
    pair[1].sendall(b':"a"}]')
    reply_at(pair[1], [2, {"error": "full"}])
    reply_at(pair[1], [3, {"id": "the third"}])
    assert audit.append(EVENT) == "the third"


def test_a_supervisor_that_does_not_read_is_not_buried_in_records(pair):
    audit = RelayedAudit(pair[0], seconds=0.001)
    said = set()
    large = EVENT | {"path": "x" * 200_000}
    while "the supervisor takes no more records" not in said:
        with pytest.raises(AuditError) as caught:
            audit.append(large)
        said.add(str(caught.value))
    assert len(audit._unsent) < MOST_UNSENT + 300_000
    pair[0].settimeout(5)
    reading = threading.Thread(target=lambda: [frame_at(pair[1]) for _ in range(audit._number)])
    reading.start()
    while audit._unsent:  # nothing was torn: every frame can be read
        del audit._unsent[: pair[0].send(audit._unsent)]
    reading.join(60)
    assert not reading.is_alive()
