"""``sekisho run --workers N``: one supervisor, and N processes forked from it that serve the same lanes.

The supervisor carries no traffic. It reads every file and compiles every pattern once, in memory that the workers
share; starts them, and again those that die; keeps their records, in one chain; tells them of a new policy; and answers
on the admin address for all of them. The kernel gives each connection to one worker (SO_REUSEPORT).

It must have no thread when it forks, and its event loop must not run: ``supervise`` steps out of the loop each time.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import socket
from collections import deque
from functools import partial
from typing import Any

from proxy.admin import LISTENING, PASSED, AdminError, Readiness, Runner
from proxy.bypass.silence import Silence
from proxy.faults import place, unhandled
from proxy.host import StartError, check_free
from proxy.http.seat import Rules
from proxy.metrics.sum import Counts, added, counted, lasting
from proxy.notify import READY, STOPPING, notify
from proxy.policy import load, read_policy
from proxy.processes.channel import Asker, Gone, answer
from proxy.processes.member import Member, fork
from proxy.processes.worker_process import HURRY, LAST_WORD
from proxy.records.audit import AuditError
from proxy.records.coverage import Coverage
from proxy.records.outage import watch
from proxy.run import (
    STOPPING_LINE,
    Sidecar,
    check_fixed,
    not_reloaded,
    note_stop,
    open_admin,
    watched,
)
from proxy.terminal import FAULT, OK
from proxy.watch import due

START_SECONDS = 30.0
"""How long a worker may take until it listens."""
ANSWER_SECONDS = 10.0
"""A worker that does not answer for so long is killed."""
SCRAPE_SECONDS = 2.0
"""How long the admin server waits for a worker."""
TICK_SECONDS = 1.0
"""How often a worker is asked what it has counted: so much of its counts may be lost when it dies."""
DEATHS, DEATHS_SECONDS = 5, 60.0
"""More deaths than so many per worker in so many seconds, and the supervisor gives up."""
DELAY_SECONDS, DELAY_MOST = 0.1, 1.0
"""How long it waits before it starts another worker after the first death, doubled with each one."""

logger = logging.getLogger("sekisho")


def supervise(sidecar: Sidecar, count: int) -> int:
    """Serves with ``count`` workers until SIGTERM or SIGINT. Returns the exit code.

    Raises ``StartError``, ``AdminError`` or ``AuditError`` when it cannot start.
    """
    gc.collect()
    gc.freeze()  # or the collector would write to every page that the workers share
    with asyncio.Runner(loop_factory=_Loop) as runner:
        supervisor = Supervisor(sidecar, count)
        runner.run(supervisor.open())
        while (code := runner.run(supervisor.due())) is None:
            supervisor.fork()
        runner.run(supervisor.close())
        return code


class _Loop(asyncio.SelectorEventLoop):
    """Looks names up without a thread."""

    async def getaddrinfo(self, *given: Any, **named: Any) -> Any:
        return socket.getaddrinfo(*given, **named)


class Supervisor:
    """See ``supervise``, which is how to use one."""

    def __init__(self, sidecar: Sidecar, count: int) -> None:
        self._sidecar = sidecar
        self._count = count
        self._loop: asyncio.AbstractEventLoop
        self._members: list[Member] = []
        self._departed: Counts = {}
        self._coverage, self._silence = Coverage(sidecar.guard), Silence(sidecar.guard, sidecar.meter)
        self._deaths: deque[float] = deque()
        self._due: asyncio.Queue[int | None] = asyncio.Queue()
        self._code: int | None = None
        """Set when the end has begun."""
        self._all_up = False
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._admin: Runner | None = None

    # What ``supervise`` does, in this order.

    async def open(self) -> None:
        """Records the start, opens the admin server and asks for the first workers."""
        loop = self._loop = asyncio.get_running_loop()
        loop.set_exception_handler(unhandled)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled)
        loop.add_signal_handler(signal.SIGHUP, self._changed.set)
        policy = self._sidecar.guard.policy
        self._sidecar.guard.note("start")
        try:
            check_free(policy.lanes)
            self._admin = await open_admin(self._sidecar, self.render, self.readiness, self.counts)
        except (StartError, AdminError):
            note_stop(self._sidecar)
            raise
        recording = (self._coverage.run(self._cover), watch(self._look, self._sidecar.meter))
        tasks = (self._reloads(), self._silence.run(self.counts), *recording)
        self._tasks = [loop.create_task(task) for task in tasks]
        for _ in range(self._count):
            self._due.put_nowait(None)

    async def due(self) -> int | None:
        """``None`` as soon as a worker is to be forked; the exit code when none is left and none is wanted."""
        return await self._due.get()

    def fork(self) -> None:
        """Starts a worker, unless the end has begun meanwhile. The event loop must not be running."""
        if self._code is None:
            member = fork(self._sidecar, watches=not any(member.watches for member in self._members))
            self._members.append(member)
            member.attending = self._loop.create_task(self._attend(member))

    async def close(self) -> None:
        """Closes the admin server and records the end."""
        for task in self._tasks:
            task.cancel()
        if self._admin is not None:
            await self._admin.cleanup()
        await self._cover()
        note_stop(self._sidecar)

    # For the admin server.

    async def render(self, accept: str) -> tuple[bytes, str]:
        """The metrics of all workers, of those that have died, and the supervisor's own."""
        return self._sidecar.meter.render(accept, await self._counts())

    async def counts(self) -> Counts:
        """All that has been counted, as sums."""
        return added(counted(self._sidecar.meter.registry), *await self._counts())

    async def _counts(self) -> list[Counts]:
        """What the workers have counted, those that have died among them."""
        await asyncio.gather(*(self._count_up(member, SCRAPE_SECONDS) for member in self._members))
        return [self._departed, *(member.counts for member in self._members)]

    async def _cover(self) -> None:
        self._coverage.write(await self.counts())

    async def _look(self) -> str:
        return self._sidecar.audit.look()

    async def readiness(self) -> Readiness:
        """Ready when every worker is."""
        states = await asyncio.gather(*(member.state(SCRAPE_SECONDS) for member in self._members))
        lanes = {}
        for lane in self._sidecar.guard.policy.lanes:
            up = sum(state.lanes.get(lane.name) == LISTENING for state in states)
            lanes[lane.name] = LISTENING if up == self._count else f"listening in {up} of {self._count} workers"
        checks = [self._sidecar.self_check, *(state.self_check for state in states)]
        probes = {lane: found for state in states for lane, found in state.probes.items() if found == PASSED}
        probes |= {lane: found for state in states for lane, found in state.probes.items() if found != PASSED}
        return Readiness(lanes, next((check for check in checks if check != PASSED), PASSED), probes)

    # A worker's life.

    async def _attend(self, member: Member) -> None:
        """From its birth to its death, which it survives whatever happens."""
        keeping = self._loop.create_task(self._keep_records(member))
        try:
            await self._accompany(member)
        except (Gone, TimeoutError) as error:
            if isinstance(error, TimeoutError):
                logger.error("worker %d does not answer and is killed", member.pid)
                member.signal(signal.SIGKILL)
        except Exception as error:  # noqa: BLE001 - nobody else would see to it
            logger.error("worker %d is killed: %s", member.pid, place(error))
            member.signal(signal.SIGKILL)
        code = await member.ended()
        keeping.cancel()
        self._members.remove(member)
        self._departed = added(self._departed, lasting(member.counts))
        await self._bury(member, code)

    async def _accompany(self, member: Member) -> None:
        member.asker = await Asker.on(member.control)
        await member.ask("state", START_SECONDS)
        member.is_up = True
        if not self._all_up and sum(other.is_up for other in self._members) == self._count:
            self._all_up = True
            notify(READY)
            for lane in self._sidecar.guard.policy.lanes:
                logger.info("lane %s listens on %s in %d processes", lane.name, lane.listen, self._count)
        while True:
            member.counts = await member.ask("metrics", ANSWER_SECONDS)
            await asyncio.sleep(TICK_SECONDS)

    async def _bury(self, member: Member, code: int) -> None:
        """Ends with the last one, or has another one started in its place."""
        if self._code is None:
            late = "" if self._all_up else " before all listened: nothing is served"
            logger.error("worker %d has ended with %d%s", member.pid, code, late)
            self._sidecar.meter.internal_error("process")
            if not self._all_up:
                self._end(code if code > 0 else FAULT)
        if self._code is None:
            now = self._loop.time()
            self._deaths.append(now)
            while self._deaths[0] < now - DEATHS_SECONDS:
                self._deaths.popleft()
            if len(self._deaths) > DEATHS * self._count:
                logger.error("workers keep dying: giving up")
                self._end(FAULT)
            else:
                await asyncio.sleep(min(DELAY_SECONDS * 2 ** (len(self._deaths) - 1), DELAY_MOST))
        if self._code is None:
            self._due.put_nowait(None)
        elif not self._members:
            self._due.put_nowait(self._code)

    def _signalled(self) -> None:
        """Ends; at once, when told a second time."""
        if self._code is None:
            self._end(OK)
            return
        for member in self._members:
            member.signal(HURRY)

    def _end(self, code: int) -> None:
        """Has all workers finish what is under way, and ends with ``code``."""
        if self._code is not None:
            return
        self._code = code
        notify(STOPPING)
        logger.info(STOPPING_LINE, self._sidecar.grace)
        for member in self._members:
            member.signal(signal.SIGTERM)
        self._loop.call_later(self._sidecar.grace + 5, self._kill_all)
        if not self._members:
            self._due.put_nowait(code)

    def _kill_all(self) -> None:
        for member in self._members:
            member.signal(signal.SIGKILL)

    # What workers need of it, and it of them.

    async def _keep_records(self, member: Member) -> None:
        await answer(member.records, partial(self._keep, member))
        member.signal(signal.SIGKILL)  # it could record nothing any more, if it is not gone already

    async def _keep(self, member: Member, numbered: Any) -> Any:
        number, event = numbered
        if event["kind"] == LAST_WORD:
            member.counts = event["counts"]
            return number, {"id": ""}
        return number, self._kept(event)

    def _kept(self, event: Any) -> dict[str, str]:
        """The id of the record, or why it was not kept. A policy is on record already when a worker comes to it."""
        try:
            if event["kind"] != "policy":
                return {"id": self._sidecar.audit.append(event)}
        except Exception as error:  # noqa: BLE001 - no record, whatever it was
            return {"error": str(error) if isinstance(error, AuditError) else place(error)}
        known = event["policy_sha256"] == self._sidecar.guard.policy.sha256
        return {"id": ""} if known else {"error": "this policy is not in force"}

    async def _count_up(self, member: Member, seconds: float) -> None:
        with contextlib.suppress(Gone, TimeoutError):
            member.counts = await member.ask("metrics", seconds)

    async def _reloads(self) -> None:
        async for _ in due(lambda: watched(self._sidecar), self._changed):
            await self._reload()

    async def _reload(self) -> None:
        """Puts the policy file in force in all workers. One that fails is replaced, by one that begins with it."""
        former = self._sidecar.guard.policy
        try:
            data = read_policy(self._sidecar.path)
            policy = load(self._sidecar.path, data)
            check_fixed(self._sidecar, policy)
            Rules.of(policy)  # reads the certificates
            check_free([lane for lane in policy.lanes if lane.listen not in {lane.listen for lane in former.lanes}])
            self._sidecar.guard.adopt(policy)
            self._sidecar.audit.keep_days = policy.audit.retention_days
        except Exception as error:  # noqa: BLE001 - as in a sidecar of one process
            not_reloaded(self._sidecar, error)
            return
        await asyncio.gather(*(self._pass_on(data, member) for member in self._members))
        logger.info("policy %s is in force", policy.policy_id)

    async def _pass_on(self, data: bytes, member: Member) -> None:
        try:
            if not (why := await member.ask({"policy": data.decode("latin-1")}, ANSWER_SECONDS)):
                return
        except (Gone, TimeoutError) as error:
            why = type(error).__name__
        logger.error("worker %d could not reload and is replaced: %s", member.pid, why)
        member.signal(signal.SIGKILL)
