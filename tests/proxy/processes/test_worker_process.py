"""One worker, in the test's own process, and the test as its supervisor."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import threading
from contextlib import asynccontextmanager

import pytest

from proxy.admin import LISTENING, PASSED
from proxy.processes import worker_process as module
from proxy.processes.channel import Asker, answer
from proxy.processes.worker_process import LOST, work
from proxy.run import build
from proxy.terminal import BAD_INPUT, FAULT, NO_START
from tests.e2e.authority import authority, client_context, pair
from tests.e2e.origin import OK, exchange, origin, post, status_of
from tests.sidecar import free_port, policy_document, write_policy

CARD = post("/log", b'{"n": "5555555555554444"}')
LANE = {"name": "logs", "upstream": "http://127.0.0.1:9", "role": "logging"}


@pytest.fixture
def sidecar(tmp_path):
    def made(*lanes, **top):
        found.append(build(write_policy(tmp_path, policy_document(tmp_path, list(lanes), **top))))
        found[-1].audit.close()  # a worker must do without
        return found[-1]

    found = []
    return made


@asynccontextmanager
async def worker(sidecar, keep):
    """A serving one, whose records ``keep`` gets; gives whom to ask."""
    (control, theirs), (records, their_records) = socket.socketpair(), socket.socketpair()
    serving = asyncio.create_task(module._Worker(sidecar, their_records).serve(theirs))

    async def numbered(asked):
        return asked[0], await keep(asked[1])

    keeping = threading.Thread(target=lambda: asyncio.run(answer(records, numbered)))  # the worker's loop waits for it
    keeping.start()
    asker = await Asker.on(control)
    try:
        await asker.ask("state", 60)
        yield asker
    finally:
        signal.raise_signal(signal.SIGTERM)
        await serving
        asker.close()
        their_records.close()
        await asyncio.to_thread(keeping.join)
        await asyncio.sleep(0)
        asyncio.get_running_loop().set_exception_handler(None)


def told(path):
    """The question that puts in force what the file holds now."""
    return {"policy": path.read_bytes().decode("latin-1")}


async def accept(_):
    return {"id": "an-id"}


async def test_it_serves_counts_and_hands_over_its_records(sidecar):
    events = []

    async def keep(event):
        events.append(event)
        return {"id": "an-id"}

    async with origin() as server:
        parts = sidecar({**LANE, "upstream": server.url})
        port = parts.guard.policy.lanes[0].listen.port
        async with worker(parts, keep) as asker:
            state = await asker.ask("state", 60)
            assert (state["lanes"], state["self_check"]) == ({"logs": LISTENING}, PASSED)
            assert await exchange(port, post("/log", b"{}")) == OK
            response = await exchange(port, CARD)
            assert status_of(response) == 403
            assert b"an-id" in response
            rows = (await asker.ask("metrics", 60))["sekisho_messages"]
            assert sorted((row[1]["verdict"], row[2]) for row in rows if row[0] == "sekisho_messages_total") == [
                ("allow", 1),
                ("allow", 1),
                ("block", 1),
            ]
        assert [event["kind"] for event in events] == ["retention", "last-word"]
        assert b"sekisho_messages_total{" not in parts.meter.render()[0]


async def test_it_puts_in_force_the_policy_that_it_is_told_and_no_other(sidecar):
    kinds = []

    async def keep(event):
        kinds.append(event["kind"])
        return {"id": ""}

    async with origin() as server:
        parts = sidecar({**LANE, "upstream": server.url})
        port = parts.guard.policy.lanes[0].listen.port
        async with worker(parts, keep) as asker:
            document = json.loads(parts.path.read_text())
            parts.path.write_text(json.dumps(document | {"mode": "monitor"}))
            question = told(parts.path)
            parts.path.write_text("{}")  # what the file has become since then is not asked for
            assert status_of(await exchange(port, CARD)) == 403
            assert await asker.ask(question, 60) == ""
            assert await exchange(port, CARD) == OK
            assert "sekisho.yaml" in await asker.ask(told(parts.path), 60)
    assert kinds == ["retention", "policy", "retention", "last-word"]


async def test_a_file_that_is_being_replaced_does_not_end_it(sidecar, tmp_path):
    """Between the supervisor's look at a certificate and the worker's own its key may have become another one."""
    public, _ = authority(tmp_path)
    certificate, key = pair(tmp_path, "server")
    context = client_context(public)

    async def seen(port) -> bytes:
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        writer.close()
        return writer.get_extra_info("ssl_object").getpeercert()["subject"][0][0][1]

    parts = sidecar({**LANE, "tls": {"certificate_file": str(certificate), "key_file": str(key)}})
    port = parts.guard.policy.lanes[0].listen.port
    async with worker(parts, accept) as asker:
        question = told(parts.path)
        pair(tmp_path, "server", subject="rotated")
        whole = key.read_bytes()
        key.write_bytes(b"")
        assert await asker.ask(question, 60) == ""
        assert await seen(port) == "server"
        key.write_bytes(whole)
        assert await asker.ask(question, 60) == ""
        assert await seen(port) == "rotated"
        key.write_bytes(b"")
        parts.path.write_text(json.dumps(json.loads(parts.path.read_text()) | {"mode": "monitor"}))
        assert "holds no unencrypted PEM key" in await asker.ask(
            told(parts.path), 5
        )  # another policy is put in force whole or not at all


async def test_a_policy_that_is_not_on_record_is_not_put_in_force(sidecar):
    async def keep(event):
        return {"error": "this policy is not in force"}

    async with origin() as server:
        parts = sidecar({**LANE, "upstream": server.url})
        async with worker(parts, keep) as asker:
            document = json.loads(parts.path.read_text())
            parts.path.write_text(json.dumps(document | {"mode": "monitor"}))
            assert await asker.ask(told(parts.path), 60) == "this policy is not in force"
            assert status_of(await exchange(parts.guard.policy.lanes[0].listen.port, CARD)) == 503


async def test_one_that_drains_ends_at_once_when_it_is_hurried(sidecar):
    """By its supervisor's own signal: SIGTERM may come again from whoever ends all processes."""
    begun = asyncio.Event()

    async def silent(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        begun.set()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        parts = sidecar({**LANE, "upstream": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"})
        parts.grace = 600
        port = parts.guard.policy.lanes[0].listen.port
        async with asyncio.timeout(20), worker(parts, accept) as asker:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(post("/log", b"{}"))
            await begun.wait()
            for _ in range(2):
                signal.raise_signal(signal.SIGTERM)
                while (await asker.ask("state", 60))["lanes"] == {"logs": LISTENING}:
                    pass
            reading = asyncio.create_task(reader.read())
            assert (await asker.ask("state", 60))["lanes"] == {"logs": "not listening"}
            assert not reading.done()
            signal.raise_signal(module.HURRY)
            assert await reading == b""
            writer.close()


@pytest.mark.parametrize("how", ["the supervisor dies", "the worker's own fault"])
async def test_without_a_supervisor_it_ends_at_once(sidecar, monkeypatch, how):
    ended = asyncio.Event()
    codes = []
    monkeypatch.setattr(module.os, "_exit", lambda code: (codes.append(code), ended.set()))
    async with worker(sidecar(LANE), accept) as asker:
        if how == "the supervisor dies":
            asker.close()
        else:
            monkeypatch.setattr(module, "counted", None)
            asker._writer.write(b'\0\0\0\x09"metrics"')
        await asyncio.wait_for(ended.wait(), 5)
    assert codes == [LOST]


@pytest.mark.parametrize("case", ["port", "certificate", "fault"])
def test_why_it_cannot_start(sidecar, capsys, monkeypatch, case, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as busy:
        taken = f"127.0.0.1:{busy.getsockname()[1]}"
        lane = {**LANE, "listen": taken if case == "port" else f"127.0.0.1:{free_port()}"}
        parts = sidecar(lane)
        pairs = socket.socketpair(), socket.socketpair()
        if case != "port":
            error = {"certificate": module.TlsFileError("ca.pem", "no"), "fault": ValueError("5555555555554444")}[case]
            monkeypatch.setattr(module, "Host", lambda *_, **__: (_ for _ in ()).throw(error))
        code = work(parts, pairs[0][1], pairs[1][1])
        for sock in (sock for pair in pairs for sock in pair):
            sock.close()
    said = capsys.readouterr().err
    expected = {"port": (NO_START, taken), "certificate": (BAD_INPUT, "ca.pem: no"), "fault": (FAULT, "ValueError at")}
    assert code == expected[case][0]
    assert expected[case][1] in said
    assert "5555" not in said
