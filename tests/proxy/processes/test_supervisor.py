"""``sekisho run --workers 2`` as an operator has it: real processes, real sockets."""

from __future__ import annotations

import asyncio
import json
import os
import re
import resource
import signal
import socket
import subprocess
import time
import urllib.error
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from proxy.keyfile import read_key
from proxy.metrics.meter import PrometheusMeter
from proxy.processes import supervisor as module
from proxy.processes.channel import answer
from proxy.processes.member import Member
from proxy.processes.supervisor import Supervisor
from proxy.records.audit import verify
from proxy.terminal import FAULT, NO_START, OK
from tests.e2e.origin import OK as ANSWER
from tests.e2e.origin import exchange, origin, post, read_response, status_of
from tests.e2e.plane import until
from tests.sidecar import LOOKS_OFTEN, free_port

CARD = post("/log", b'{"n": "5555555555554444"}')
CLEAN = post("/log", b'{"n": "order 12"}')


@pytest.fixture
def start(start_sidecar):
    """Starts a sidecar with two workers and a lane ``logs``, away from the event loop."""

    async def begin(server, **options):
        lane = {"name": "logs", "upstream": server.url, "role": "logging", **options.pop("lane", {})}
        options.setdefault("arguments", ("--workers", "2"))
        return await asyncio.to_thread(lambda: start_sidecar([lane], **options))

    return begin


def workers(sidecar) -> list[int]:
    """Their process numbers; none if the supervisor has ended."""
    pid = sidecar.process.pid
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def lives(pid: int) -> bool:
    """Whether it is more than a zombie, which whoever has adopted it may leave about. Its sockets are open as long as
    one of its threads is there, and the first of them may be a zombie before the others have ended."""
    process = Path(f"/proc/{pid}")
    try:
        threads = len(list((process / "task").iterdir()))
        return threads > 1 or (process / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def sockets(pid: int) -> int:
    """How many it has open."""
    return sum(str(link.readlink()).startswith("socket:") for link in Path(f"/proc/{pid}/fd").iterdir())


def threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def listeners(port: int) -> int:
    """How many sockets of this machine listen on ``port``."""
    rows = Path("/proc/net/tcp").read_text().splitlines()
    return sum(f":{port:04X} 00000000:0000 0A" in row for row in rows)


def value(sidecar, name: str) -> float:
    """The sum of a metric's samples whose name and labels begin with ``name``."""
    lines = sidecar.admin("/metrics").splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def reaches(sidecar, name: str, wanted: float) -> None:
    """Returns once a metric has a value."""
    end = time.monotonic() + 60
    while value(sidecar, name) != wanted:
        assert time.monotonic() < end
        time.sleep(0.05)


async def ask(sidecar, request: bytes, times: int = 1) -> list[int]:
    """The status of each answer, over as many connections at once."""
    answers = [exchange(sidecar.port("logs"), request) for _ in range(times)]
    return [status_of(response) for response in await asyncio.gather(*answers)]


async def told(what, *arguments):
    return await asyncio.to_thread(what, *arguments)


@asynccontextmanager
async def open_connections(sidecar, count):
    opened = [await asyncio.open_connection("127.0.0.1", sidecar.port("logs")) for _ in range(count)]
    try:
        yield opened
    finally:
        for _, writer in opened:
            writer.transport.abort()


@asynccontextmanager
async def slow_origin():
    """Answers when ``go`` is set, having set ``begun``."""

    async def slow(reader, writer):
        while await reader.readuntil(b"\r\n\r\n"):
            server.begun.set()
            await server.go.wait()
            writer.write(ANSWER)
            writer.close()
            return

    server = await asyncio.start_server(slow, "127.0.0.1", 0)
    server.begun, server.go = asyncio.Event(), asyncio.Event()
    server.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield server


async def test_several_processes_look_like_one(start):
    """Both serve; what they count, and what they record, adds up; requests under way are finished at the end."""
    async with slow_origin() as server:
        server.go.set()
        admin = {"listen": f"localhost:{free_port()}"}
        sidecar = await start(server, admin=admin, program=("-c", LOOKS_OFTEN))
        assert threads(sidecar.process.pid) == 1  # or it could not fork safely
        assert listeners(sidecar.port("logs")) == 2
        await told(reaches, sidecar, 'sekisho_probes_total{lane="logs",result="passed"}', 2)  # each had sockets open
        async with open_connections(sidecar, 40):
            await told(reaches, sidecar, 'sekisho_connections{lane="logs"}', 40)
            busy = {pid: sockets(pid) for pid in workers(sidecar)}
        await until(lambda: sum(busy[pid] - sockets(pid) for pid in busy) >= 40)
        assert all(busy[pid] > sockets(pid) for pid in busy)  # each had some of them
        assert await ask(sidecar, CLEAN, 30) == [200] * 30
        assert await ask(sidecar, CARD, 30) == [403] * 30
        text = await told(sidecar.admin, "/metrics")
        requests = 'sekisho_messages_total{direction="request",lane="logs",protocol="http",role="logging",verdict='
        assert f'{requests}"block"}} 30.0' in text
        assert f'{requests}"allow"}} 30.0' in text
        assert 'sekisho_inspect_seconds_count{lane="logs"} 90.0' in text  # 30 answers are among them
        assert len(re.findall(r"^sekisho_(?:policy|build)_info{.*} 1.0$", text, re.MULTILINE)) == 2

        stopped = workers(sidecar)[0]
        os.kill(stopped, signal.SIGSTOP)
        try:
            with pytest.raises(urllib.error.HTTPError) as caught:
                await told(sidecar.admin, "/readyz")
        finally:
            os.kill(stopped, signal.SIGCONT)
        with caught.value as refusal:
            assert json.loads(refusal.read())["lanes"] == {"logs": "listening in 1 of 2 workers"}

        server.go.clear()
        server.begun.clear()
        asked = asyncio.create_task(ask(sidecar, CLEAN))
        await server.begun.wait()
        sidecar.process.send_signal(signal.SIGTERM)
        await until(lambda: len(workers(sidecar)) == 1)
        server.go.set()
        assert await asked == [200]
        assert await told(sidecar.process.wait, 20) == OK
    lines = sidecar.audit_lines()
    assert [line["kind"] for line in lines] == ["start", *["retention"] * 30, "coverage", "stop"]
    assert [line["seq"] for line in lines] == list(range(1, 34))
    lane = lines[-2]["coverage"]["lanes"]["logs"]
    assert lane["messages"] == {"allow": 62, "block": 30}
    assert lane["probes"]["passed"] >= 2
    assert verify(sidecar.base / "var" / "audit.jsonl", read_key(sidecar.base / "secrets" / "fingerprint.key")).ok


async def test_a_worker_that_is_killed_is_replaced_and_a_reload_reaches_all(start):
    async with origin() as server:
        sidecar = await start(server)
        assert await ask(sidecar, CLEAN, 20) == [200] * 20
        before = await told(value, sidecar, "sekisho_messages_total")
        first, second = workers(sidecar)
        os.kill(first, signal.SIGKILL)
        await until(lambda: not lives(first))
        assert await ask(sidecar, CLEAN, 20) == [200] * 20
        await told(reaches, sidecar, 'sekisho_internal_errors_total{where="process"}', 1)
        await told(sidecar.wait_ready)
        assert second in workers(sidecar)
        assert await ask(sidecar, CARD, 20) == [403] * 20
        assert await told(value, sidecar, "sekisho_messages_total") == before + 60
        assert f"worker {first} has ended with -9" in sidecar.output().decode()

        path = sidecar.base / "sekisho.yaml"
        good = path.read_text()
        path.write_text(good.replace('"mode": "enforce"', '"mode": "monitor"'))
        await told(reaches, sidecar, 'sekisho_policy_reloads_total{result="ok"}', 1)
        assert await ask(sidecar, CARD, 30) == [200] * 30

        with socket.create_server(("127.0.0.1", 0), reuse_port=True) as other:
            # It could be shared, and half of that lane's connections would go elsewhere.
            taken = f"127.0.0.1:{other.getsockname()[1]}"
            document = json.loads(good)
            document["lanes"].append(document["lanes"][0] | {"name": "more", "listen": taken})
            path.write_text(json.dumps(document))
            sidecar.process.send_signal(signal.SIGHUP)
            await told(reaches, sidecar, 'sekisho_policy_reloads_total{result="error"}', 1)
        assert f"lane more cannot listen on {taken}" in sidecar.output().decode()
        assert await ask(sidecar, CARD, 30) == [200] * 30

        path.write_text(good)
        await told(reaches, sidecar, 'sekisho_policy_reloads_total{result="ok"}', 2)
        os.kill(second, signal.SIGKILL)
        await told(reaches, sidecar, 'sekisho_internal_errors_total{where="process"}', 2)
        await told(sidecar.wait_ready)
        assert await ask(sidecar, CARD, 30) == [403] * 30
        kinds = [line["kind"] for line in sidecar.audit_lines()]
        assert (kinds.count("start"), kinds.count("policy")) == (1, 2)

        file = sidecar.base / "var" / "audit.jsonl"
        limits = (file.stat().st_size, resource.RLIM_INFINITY)
        resource.prlimit(sidecar.process.pid, resource.RLIMIT_FSIZE, limits)
        assert await ask(sidecar, CARD, 2) == [503] * 2
        said = await told(sidecar.readiness)
        assert (said["ready"], said["lanes"]) == (False, {"logs": "listening"})
        assert said["audit"].startswith("audit file ")
        resource.prlimit(sidecar.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        await told(sidecar.wait_ready)  # by itself

        file.unlink()
        assert await ask(sidecar, CARD, 4) == [503] * 4  # what cannot be recorded is refused
        assert await ask(sidecar, CLEAN, 4) == [200] * 4
        assert await told(value, sidecar, "sekisho_audit_errors_total") == 6


async def test_workers_wait_for_their_supervisor_and_end_with_it(start):
    async with origin() as server:
        sidecar = await start(server, limits={"inspect_seconds": 0.2})
        orphans = workers(sidecar)
        sidecar.process.send_signal(signal.SIGSTOP)
        assert await ask(sidecar, CARD, 4) == [503] * 4  # nobody keeps records
        assert await ask(sidecar, CLEAN, 4) == [200] * 4
        sidecar.process.send_signal(signal.SIGCONT)
        await told(sidecar.admin, "/readyz")
        assert await ask(sidecar, CARD, 4) == [403] * 4
        assert workers(sidecar) == orphans
        async with open_connections(sidecar, 4) as opened:
            for _, writer in opened:
                writer.write(CLEAN)
            for reader, _ in opened:
                assert await read_response(reader) == ANSWER
            sidecar.process.kill()
            await told(sidecar.process.wait)
            assert [await reader.read() for reader, _ in opened] == [b""] * 4
        await until(lambda: not any(lives(pid) for pid in orphans) and listeners(sidecar.port("logs")) == 0)


@pytest.mark.parametrize("what", ["lane", "admin"])
async def test_an_address_that_is_taken(start, what):
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as other:
        taken = {"listen": f"127.0.0.1:{other.getsockname()[1]}"}
        async with origin() as server:
            sidecar = await start(server, ready=False, **{what: taken})
            assert await told(sidecar.process.wait, 30) == NO_START
        assert taken["listen"] in sidecar.output().decode()
        assert [line["kind"] for line in sidecar.audit_lines()] == ["start", "stop"]


async def test_it_gives_up_when_workers_keep_dying(start):
    async with origin() as server:
        sidecar = await start(server)
        async with asyncio.timeout(60):
            while sidecar.process.poll() is None:
                for pid in workers(sidecar):
                    os.kill(pid, signal.SIGKILL)
                await asyncio.sleep(0.01)
        assert sidecar.process.returncode == FAULT
        assert b"workers keep dying: giving up" in sidecar.output()
        assert sidecar.audit_lines()[-1]["kind"] == "stop"


class Parts:
    """What a supervisor needs of a sidecar in order to lose a worker."""

    def __init__(self):
        self.meter = PrometheusMeter()
        self.guard = None


@pytest.mark.parametrize("fault", [None, RuntimeError("anything")])
async def test_a_worker_that_does_not_answer_is_killed_and_replaced(monkeypatch, fault):
    async def reply(question):
        if question == "metrics":
            await asyncio.Event().wait()
        return {}

    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.05)
    if fault is not None:
        monkeypatch.setattr(Member, "ask", lambda *_: (_ for _ in ()).throw(fault))
    process = subprocess.Popen(["sleep", "60"])  # noqa: ASYNC220 - the loop would reap it
    control, theirs = socket.socketpair()
    records, their_records = socket.socketpair()
    supervisor = Supervisor(Parts(), 1)
    supervisor._loop, supervisor._all_up = asyncio.get_running_loop(), True
    member = Member(process.pid, control, records)
    supervisor._members.append(member)
    answering = asyncio.create_task(answer(theirs, reply))
    await supervisor._attend(member)
    assert member.is_gone
    assert await supervisor.due() is None
    answering.cancel()
    await asyncio.wait({answering})
    await asyncio.sleep(0)
    their_records.close()
    process.wait()


def test_one_worker_looks_for_what_goes_around_and_its_successor_after_it(monkeypatch):
    forked = []

    def fork(sidecar, *, watches):
        forked.append(watches)
        return SimpleNamespace(watches=watches, attending=None)

    monkeypatch.setattr(module, "fork", fork)
    supervisor = Supervisor(Parts(), 2)
    supervisor._loop = SimpleNamespace(create_task=lambda life: life.close())
    supervisor.fork()
    supervisor.fork()
    del supervisor._members[1]
    supervisor.fork()
    del supervisor._members[0]
    supervisor.fork()
    assert forked == [True, False, False, True]
